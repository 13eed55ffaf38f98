"""What happens before a task runs: configuration that Invoke would choke on, and standard streams
that are missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import front_door

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [("--list",), ("sandbox.status",)])
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("list.yaml", b"environments: []\n", "list.yaml:1:1: environments"),
        ("null.yaml", b"environments: {sandbox: {services: {backend: }}}\n", "services.backend"),
        ("twice.yaml", b"env: dev\nenv: sandbox\n", "twice.yaml:2"),
        ("typo.yaml", b"enviroments: {}\n", "did you mean environments?"),
        ("tab.yaml", b"env:\n\t- x\n", "tab.yaml:2:1"),
        ("binary.yaml", bytes(range(256)), "not UTF-8"),
        ("deep.yaml", b"env: " + b"[" * 100_000, "levels of nesting"),
        ("itself.yaml", b"environments: &a {here: *a}\n", "itself.yaml:1"),
        ("number.yaml", b"environments: {a: {services: {1: {}}}}\n", "put it in quotes"),
        ("broken.json", b'{"env": ', "broken.json:1:9"),
        ("exits.py", b"raise SystemExit(0)\n", "SystemExit"),
        ("some.toml", b"a = 1\n", "allowed: .yaml"),
    ],
)
def test_a_malformed_file_is_three_lines(
    tmp_path: Path, name: str, content: bytes, says: str, words: tuple[str, ...]
) -> None:
    """`inv -f FILE …` by Invoke's own program: exit code 2, no traceback."""
    (tmp_path / name).write_bytes(content)
    done = front_door.inv(ROOT, ("-f", str(tmp_path / name), *words), {}, 60)
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert says in done.stderr and len(done.stderr.splitlines()) == 3, done.stderr


PORT = "INVOKE_ENVIRONMENTS_DEV_SERVICES_BACKEND_CONTAINER_PORT"
TESTS = "INVOKE_ENVIRONMENTS_DEV_SERVICES_BACKEND_TESTS"


@pytest.mark.parametrize(
    ("words", "environment", "says"),
    [
        (("-f", "", "--list"), {}, "there is no such file"),
        (("-f", "x" * 5000, "--list"), {}, "File name too long"),
        (("--list",), {"INVOKE_RUNTIME_CONFIG": ""}, "there is no such file"),
        (("--list",), {"INVOKE_RUNTIME_CONFIG": "/bin/true"}, "allowed: .yaml"),
        (("-df", "none.yaml", "--list"), {}, "none.yaml"),
        (("status",), {PORT: "http"}, f"{PORT}\n  why: found 'http'; allowed: a number"),
        (("status",), {TESTS: "make"}, f"{TESTS}\n  why: its key is a list"),
        (("status",), {"INVOKE_ENV": "dev", PORT: "99999999"}, f"{PORT}: environments.dev"),
        (("status",), {"INVOKE_RUN_ECHO": "1"}, "INVOKE_RUN_ECHO"),
    ],
)
def test_a_variable_that_invoke_cannot_take_is_three_lines(
    words: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    """Not a traceback of Invoke's, and not ignored."""
    done = front_door.inv(ROOT, words, environment, 60)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert says in done.stderr and " next: " in done.stderr, done.stderr


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for sh, in which `$inv` is Invoke's own program."""
    variables = {**os.environ, "inv": f"{sys.executable} -m invoke", **environment}
    return subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing(redirection: str) -> None:
    """Neither the exit code nor what the other stream says."""
    usual, closed = shell("$inv sandbox.status"), shell(f"$inv sandbox.status {redirection}")
    assert closed.returncode == usual.returncode
    assert closed.stdout == ("" if ">&-" in redirection.split() else usual.stdout)
    assert closed.stderr == ""


def test_a_list_may_be_cut_off() -> None:
    """`inv --list | head -1` and `| true`: quiet, and no failure."""
    done = shell("set -o pipefail; $inv --list | head -1; $inv --list | true")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Available tasks:\n"


def test_a_locale_without_utf_8_is_no_traceback(tmp_path: Path) -> None:
    """Tasks are listed, their texts escaped; a file that Invoke would misread is refused."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = shell("$inv --list", **ascii_only)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    (tmp_path / "given.yaml").write_text("env: ä\n", encoding="utf-8")
    done = shell(f"$inv -f {tmp_path}/given.yaml --list", **ascii_only)
    assert done.returncode == 2 and "PYTHONUTF8=1" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("words", "home", "says"),
    [
        ("--list", "/dev/null", "Not a directory"),
        ("--list", b"run: 5\n", ".invoke.yaml:1:1: run"),
        ("--help", b"env: a\nenv: b\n", ".invoke.yaml:2:1"),
        ("status", b"\xff", "not UTF-8"),
        ("-T x status", b"", "allowed: an integer"),
        ("status -T x", b"", "allowed: an integer"),
        ("-D x --list", b"", "allowed: an integer"),
    ],
)
def test_what_invoke_meets_before_our_tasks_is_three_lines(
    tmp_path: Path, words: str, home: str | bytes, says: str
) -> None:
    """The user's file and the core options, by the program that ./inv runs."""
    if isinstance(home, bytes):
        (tmp_path / ".invoke.yaml").write_bytes(home)
    program = f"{sys.executable} -P ops/tasks/program.py"
    home = str(tmp_path) if isinstance(home, bytes) else home
    done = shell(f"{program} {words}", HOME=home)
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert says in done.stderr and len(done.stderr.splitlines()) == 3, done.stderr


def test_the_formats_of_the_list_are_invokes() -> None:
    """--list with a format, for people and programs that know it."""
    for words in ("--list -F json", "--list db -F json", "--list -F flat", "--list -F nested"):
        ours = shell(f"{sys.executable} -P ops/tasks/program.py {words}")
        assert (ours.returncode, ours.stderr) == (0, "")
        assert ours.stdout == shell(f"$inv {words}").stdout
