"""Tasks as processes: how they are pulled, started, heard and stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.ecs.rules.stop_reasons import classify
from ops.sandbox.contracts import PullError, StartError
from tests.sandbox.images_platform import ImagePlatform, ended, spec
from tests.sandbox.images_support import IMMUTABLE, MUTABLE
from tests.waiting import until

BASE = "FROM sandbox/python:3\nWORKDIR /app\nCOPY app.py .\n"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[ImagePlatform]:
    here = ImagePlatform(tmp_path / "sandbox").up()
    yield here
    here.down()


def test_a_task_runs_the_images_program_with_its_environment(platform: ImagePlatform) -> None:
    """CMD runs in WORKDIR with the image's ENV, the task definition's environment over it, and
    HOST.
    """
    app = (
        "import json, os, sys\nprint(json.dumps({'env': dict(os.environ), 'cwd': os.getcwd(), "
        "'argv': sys.argv}))\n"
    )
    image = platform.shipped(
        BASE + 'ENV A=image B=image\nCMD ["python3", "/app/app.py", "/not/there"]\n',
        {"app.py": app},
        "1",
    )
    lines: list[str] = []
    container = platform.runtime().start(
        spec(image, lines.append, address="127.0.0.9", environment={"B": "task"})
    )
    assert ended(container) == 0
    seen = json.loads(lines[0])
    assert seen["env"].items() >= {"A": "image", "B": "task", "HOST": "127.0.0.9"}.items()
    assert set(seen["env"]) <= {"A", "B", "HOST", "HOME", "PATH", "LC_CTYPE"}
    assert seen["cwd"].endswith("/app")
    assert seen["argv"][0].endswith("/app/app.py")
    assert seen["argv"][1:] == ["/not/there"]


def test_the_base_has_psycopg_and_a_shell(platform: ImagePlatform) -> None:
    """The shipped base is the Python that runs the sandbox, for a shell's children too."""
    image = platform.shipped(
        BASE + "CMD python3 app.py && python -V\n",
        {"app.py": "import psycopg, sys; print(sys.executable)"},
        "1",
    )
    lines: list[str] = []
    assert ended(platform.runtime().start(spec(image, lines.append))) == 0
    assert lines == [sys.executable, f"Python {sys.version.split()[0]}"]


def test_output_comes_as_lines_even_when_it_is_wild(platform: ImagePlatform) -> None:
    """stdout and stderr arrive line by line; a line without end is cut, an unfinished last line
    still counts.
    """
    app = (
        "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, "
        "flush=True)\nprint('x' * 200000)\nsys.stdout.write('last')\n"
    )
    image = platform.shipped(BASE + 'CMD ["python3", "app.py"]\n', {"app.py": app}, "1")
    lines: list[str] = []
    assert ended(platform.runtime().start(spec(image, lines.append))) == 0
    assert lines[:2] == ["out", "err"]
    assert lines[2].startswith("xxx") and lines[2].endswith(" [cut]") and len(lines[2]) < 20000
    assert lines[3:] == ["last"]


def test_exit_codes_are_those_of_containers(platform: ImagePlatform) -> None:
    """An exit code passes through; a signal is 128 and its number."""
    image = platform.shipped(
        BASE + 'CMD ["python3", "app.py"]\n', {"app.py": "import os; exec(os.environ['DO'])"}, "1"
    )
    runtime = platform.runtime()
    for do, code in (
        ("raise SystemExit(7)", 7),
        ("os.kill(os.getpid(), 9)", 137),
        ("os.abort()", 134),
    ):
        assert ended(runtime.start(spec(image, print, environment={"DO": do}))) == code


def test_a_program_that_handles_sigterm_stops_at_once(platform: ImagePlatform) -> None:
    """stop() sends SIGTERM and gives the program's own exit code; a second stop changes nothing."""
    app = (
        "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(3))\nprint('up', "
        "flush=True)\ntime.sleep(60)\n"
    )
    image = platform.shipped(BASE + 'CMD ["python3", "app.py"]\n', {"app.py": app}, "1")
    lines: list[str] = []
    container = platform.runtime().start(spec(image, lines.append))
    until(lambda: lines)
    assert container.stop(5) == 3
    assert container.stop(5) == 3
    assert not list((platform.paths.tasks / "a1").glob("pid-*"))


def test_a_program_without_a_handler_costs_the_stop_timeout(platform: ImagePlatform) -> None:
    """PID 1 of a container ignores a SIGTERM that it does not handle: SIGKILL, 137."""
    image = platform.shipped(
        BASE + 'CMD ["python3", "app.py"]\n',
        {"app.py": "print('up', flush=True)\nimport time; time.sleep(60)"},
        "1",
    )
    lines: list[str] = []
    container = platform.runtime().start(spec(image, lines.append))
    until(lambda: lines)
    assert container.stop(0.3) == 137


@pytest.mark.parametrize(("own_session", "how"), [(False, "stop"), (True, "stop"), (False, "end")])
def test_nothing_that_a_task_started_stays(
    platform: ImagePlatform, own_session: bool, how: str
) -> None:
    """Grandchildren die with the task, those that ignore SIGTERM or left the session too."""
    app = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(15, signal.SIG_IGN); time.sleep(60)'],\n"
        f"                         start_new_session={own_session})\n"
        "print(child.pid, flush=True)\n" + ("" if how == "end" else "time.sleep(60)\n")
    )
    image = platform.shipped(BASE + 'CMD ["python3", "app.py"]\n', {"app.py": app}, "1")
    lines: list[str] = []
    container = platform.runtime().start(spec(image, lines.append))
    child = int(until(lambda: lines)[0])
    code = container.stop(0.2) if how == "stop" else ended(container)
    assert code == (137 if how == "stop" else 0)
    until(
        lambda: (
            not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        )
    )


def _matched(text: str) -> str:
    """The code of the stop reason that a diagnosis reads in the text."""
    reason = classify(text)
    return reason.code if reason else "none"


def test_images_that_cannot_be_pulled_say_why_as_ecs_does(platform: ImagePlatform) -> None:
    """Absent, deleted, foreign and mis-named images each have the reason that diagnosis looks
    for.
    """
    image = platform.shipped(BASE + 'CMD ["python3", "app.py"]\n', {"app.py": ""}, "gone")
    runtime = platform.runtime()
    runtime.pull(image, "linux/amd64")
    platform.ecr.delete(MUTABLE, "gone")
    cases = {
        image: "ECS-PULL-NOTFOUND",
        f"{platform.registry}/{IMMUTABLE}:never": "ECS-PULL-NOTFOUND",
        f"{platform.registry}/no/such:1": "ECS-PULL-NOTFOUND",
        "elsewhere.example.com/davidshaevel/backend:1": "ECS-PULL-NET",
        "Not A Name": "ECS-PULL-REF",
    }
    for name, code in cases.items():
        with pytest.raises(PullError) as refused:
            runtime.pull(name, "linux/amd64")
        assert _matched(str(refused.value)) == code, str(refused.value)
    with pytest.raises(
        PullError, match=re.escape(f"7 time(s): failed to resolve ref {image}: {image}: not found")
    ):
        runtime.pull(image, "linux/amd64")


def test_an_image_of_another_platform_is_refused(platform: ImagePlatform) -> None:
    """An image built for arm64 does not start where the task definition says amd64."""
    image = platform.shipped(
        BASE + 'CMD ["python3", "app.py"]\n', {"app.py": ""}, "arm", platform="linux/arm64"
    )
    with pytest.raises(PullError) as refused:
        platform.runtime().pull(image, "linux/amd64")
    assert _matched(str(refused.value)) == "ECS-PULL-PLATFORM"
    assert platform.runtime().pull(image, "linux/arm64").startswith("sha256:")


@pytest.mark.parametrize(
    ("dockerfile", "says", "code"),
    [
        (
            BASE + 'CMD ["node", "app.py"]\n',
            'exec: "node": executable file not found in $PATH',
            "ECS-EXEC",
        ),
        (BASE + 'CMD ["/app/none"]\n', "stat /app/none: no such file or directory", "ECS-EXEC"),
        (BASE + 'CMD ["/app/app.py"]\n', "permission denied", "ECS-EXEC"),
        (
            'FROM scratch\nCOPY app.py /app.py\nCMD ["python3", "/app.py"]\n',
            "executable file not found",
            "ECS-EXEC",
        ),
        ("FROM scratch\nCOPY app.py /app.py\n", "No command specified", "ECS-RUNTIME"),
    ],
)
def test_a_command_that_cannot_start_says_why(
    platform: ImagePlatform, dockerfile: str, says: str, code: str
) -> None:
    """What Docker would say of the command stands in the container's reason."""
    image = platform.shipped(dockerfile, {"app.py": ""}, "1")
    with pytest.raises(StartError) as refused:
        platform.runtime().start(spec(image, print))
    assert says in str(refused.value)
    assert _matched(str(refused.value)) == code


def test_the_task_definition_overrides_command_and_entry_point(platform: ImagePlatform) -> None:
    """command replaces CMD; entryPoint replaces ENTRYPOINT and drops the image's CMD."""
    image = platform.shipped(
        BASE + 'ENTRYPOINT ["python3", "app.py"]\nCMD ["cmd"]\n',
        {"app.py": "import sys; print(sys.argv[1:])"},
        "1",
    )
    runtime, lines = platform.runtime(), list[str]()
    for changes in ({}, {"command": ("own",)}, {"entry_point": ("python3", "app.py", "entry")}):
        assert ended(runtime.start(spec(image, lines.append, **changes))) == 0
    assert lines == ["['cmd']", "['own']", "['entry']"]


def test_what_a_killed_supervisor_left_is_ended_by_the_next_up(
    platform: ImagePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sweep() ends recorded processes that still run, and nobody else's."""
    image = platform.shipped(
        BASE + 'CMD ["python3", "app.py"]\n', {"app.py": "import time; time.sleep(60)"}, "1"
    )
    container = platform.runtime().start(spec(image, print))
    foreign = platform.paths.tasks / "b2" / "pid-backend.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    create_time = psutil.Process.create_time  # as after a step of the clock
    monkeypatch.setattr(psutil.Process, "create_time", lambda each: create_time(each) + 58)
    assert platform.runtime().sweep() == (container.pid,)
    assert ended(container) == 128 + signal.SIGKILL
    assert not foreign.exists()
    assert platform.runtime().sweep() == ()
