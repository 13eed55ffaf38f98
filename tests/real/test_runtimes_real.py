"""A task as a process and as a container: the same program, the same exit code, lines, environment
and end.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from ops.sandbox.runtime.containers import DockerRuntime
from ops.sandbox.runtime.docker_base import ensure_base
from tests.real.engine_names import names
from tests.sandbox.images_platform import ImagePlatform, build, ended, push, spec
from tests.sandbox.images_support import IMMUTABLE, MUTABLE, TOKEN
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("runtimes"), pytest.mark.timeout(120)]
SOURCE = """\
FROM sandbox/python:3
WORKDIR /app
COPY app.py .
ENV FROM_IMAGE=image BOTH=image
CMD ["python3", "app.py", "from the image"]
"""
LEFT_OUT = ("HOSTNAME", "LC_CTYPE", "PATH", "HOME")
FILES = {"app.py": "import os\nexec(os.environ['DO'])\n"}


@dataclass(frozen=True)
class Kind:
    """One runtime, and the image as built and pushed for it."""

    name: str
    runtime: Any
    image: str

    def start(self, do: str, log: Callable[[str], None] = lambda line: None, **changes: Any) -> Any:
        environment = {"DO": do, **changes.pop("environment", {})}
        return self.runtime.start(
            spec(self.image, log, task_id=uuid.uuid4().hex, environment=environment, **changes)
        )

    def run(self, do: str, **changes: Any) -> tuple[int, list[str]]:
        lines: list[str] = []
        return ended(self.start(do, lines.append, **changes), 30), lines


@pytest.fixture(scope="module")
def kinds(real: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kind, Kind]]:
    """Containers of the real engine, and processes of the sandbox's own."""
    images = ImagePlatform(tmp_path_factory.mktemp("runtimes") / "sandbox").up()
    runtime, image = (
        DockerRuntime(real, images.root, lambda: TOKEN),
        f"{images.registry}/{MUTABLE}:real",
    )
    try:
        ensure_base(real)
        built = build(real, SOURCE, FILES, tag=image)
        assert "error" not in built[-1], built[-1]
        assert "error" not in push(real, image.removesuffix(":real"), "real")[-1]
        yield (
            Kind("container", runtime, image),
            Kind("process", images.runtime(), images.shipped(SOURCE, FILES, "own", IMMUTABLE)),
        )
    finally:
        runtime.sweep()
        images.down()
        for name in [
            name for name in names(real) if name.startswith(images.registry) and "@" not in name
        ]:
            real.images.remove(name)


@pytest.mark.parametrize(
    ("do", "code", "lines"),
    [
        ("print('done')", 0, ["done"]),
        ("raise SystemExit(7)", 7, []),
        ("raise SystemExit(300)", 44, []),
        ("raise SystemExit('no such setting')", 1, ["no such setting"]),
        ("import ctypes; ctypes.string_at(0)", 139, []),
        ("os.kill(os.getpid(), 15); print('still here')", 0, ["still here"]),
        (
            "raise SystemExit(os.waitstatus_to_exitcode(os.system('kill -9 $$')) + 128 + 18)",
            137,
            [],
        ),
        (
            "import time; os.write(2, b'err\\n'); time.sleep(.3); os.write(1, b'out\\n\\nlast')",
            0,
            ["err", "out", "", "last"],
        ),
        (
            "os.write(1, b'x' * 40_000 + b'\\nafter\\r\\n\\xff\\n')",
            0,
            ["x" * 16384 + " [cut]", "after", "\ufffd"],
        ),
    ],
    ids=[
        "done",
        "code",
        "code of 8 bits",
        "refusal",
        "fault",
        "own SIGTERM",
        "child's signal",
        "both streams",
        "wild lines",
    ],
)
def test_an_end_is_told_alike(
    kinds: tuple[Kind, Kind], do: str, code: int, lines: list[str]
) -> None:
    """Exit code and log of a program that ends by itself."""
    for kind in kinds:
        assert kind.run(do) == (code, lines), kind.name


def test_a_traceback_is_the_same_in_both(kinds: tuple[Kind, Kind]) -> None:
    """What a diagnosis quotes: the program's own last line, and exit code 1."""
    said = [kind.run("import nosuch") for kind in kinds]
    assert said[0][0] == said[1][0] == 1
    assert said[0][1][-1] == said[1][1][-1] == "ModuleNotFoundError: No module named 'nosuch'"


def test_the_program_sees_the_same(kinds: tuple[Kind, Kind]) -> None:
    """Environment (the image's, the task's over it, HOST), folder name, arguments, standard input
    and process group.

    HOSTNAME is Docker's own addition; LC_CTYPE is Python's, where it finds a locale; a process has
    folders of its own in PATH and HOME.
    """
    do = (
        f"import json, sys; seen = {{name: value for name, value in os.environ.items() if "
        f"name not in {LEFT_OUT}}}; print(json.dumps("
        "[seen, os.path.basename(os.getcwd()), sys.argv[1:], sys.stdin.read(), "
        "os.getpgrp() == os.getpid() == os.getsid(0)]))"
    )
    seen = []
    for kind in kinds:
        code, lines = kind.run(do, address="127.0.0.9", environment={"BOTH": "task"})
        assert code == 0, lines
        seen.append(json.loads(lines[0]))
    assert (
        seen[0][0].items() >= {"FROM_IMAGE": "image", "BOTH": "task", "HOST": "127.0.0.9"}.items()
    )
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("changes", "shows"),
    [
        ({"command": ("python3", "-c", "print('command')")}, ["command"]),
        ({"entry_point": ("python3", "-c"), "command": ("print('both')",)}, ["both"]),
        ({"entry_point": ("python3", "-c", "import sys; print(sys.argv)")}, ["['-c']"]),
        (
            {
                "working_directory": "/tmp",
                "command": ("python3", "-c", "import os; print(os.path.basename(os.getcwd()))"),
            },
            ["tmp"],
        ),
    ],
    ids=["command", "entry point and command", "entry point alone", "working directory"],
)
def test_a_task_definition_overrides_alike(
    kinds: tuple[Kind, Kind], changes: dict[str, Any], shows: list[str]
) -> None:
    """`command`, `entryPoint` and `workingDirectory` of a container definition, over the
    image's.
    """
    for kind in kinds:
        assert kind.run("", **changes) == (0, shows), kind.name


@pytest.mark.parametrize(
    ("handler", "code", "least", "most"),
    [
        ("signal.signal(15, lambda *_: sys.exit(3))", 3, 0.0, 1.0),
        (
            "signal.signal(15, lambda *_: (print('stopping', flush=True), time.sleep(60)))",
            137,
            1.5,
            6.0,
        ),
        ("", 137, 1.5, 6.0),
    ],
    ids=["at once", "too slow", "not handled"],
)
def test_the_stop_timeout_is_kept_alike(
    kinds: tuple[Kind, Kind], handler: str, code: int, least: float, most: float
) -> None:
    """SIGTERM, and SIGKILL only after the stop timeout; what was said last is in the log."""
    do = f"import signal, sys, time\n{handler}\nprint('up', flush=True)\ntime.sleep(60)"
    for kind in kinds:
        lines: list[str] = []
        container = kind.start(do, lines.append)
        until(lines.copy, 30)
        began = time.monotonic()
        assert container.stop(1.5) == code, kind.name
        assert least <= time.monotonic() - began < most, kind.name
        assert lines == (["up", "stopping"] if "stopping" in handler else ["up"]), kind.name


def test_a_kill_from_outside_is_137_for_both(kinds: tuple[Kind, Kind]) -> None:
    """kill -9 of the task's process, as the kernel does it out of memory; its children go with
    it.
    """
    child = "subprocess.Popen(['/bin/sh', '-c', 'read nothing'], stdin=subprocess.PIPE)"
    do = f"import subprocess, time\n{child}\nprint('up', flush=True)\ntime.sleep(60)"
    for kind in kinds:
        lines: list[str] = []
        container = kind.start(do, lines.append)
        until(partial(lines.__eq__, ["up"]), 30)
        assert container.poll() is None and container.pid
        os.kill(container.pid, signal.SIGKILL)
        assert ended(container, 30) == 137, kind.name
