"""Mistakes in a command line, by `./inv`'s program and by plain `inv`: exit code 2."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-P", "-X", "utf8", str(ROOT / "ops/tasks/program.py")]
PLAIN = [sys.executable, "-m", "invoke"]
TASKS = """
from ops.core.result import Report
from ops.tasks.shared import ops_task

@ops_task(options=("json",))
def answers(session):
    \"\"\"Answer.\"\"\"
    session.report(Report({"answer": "x" * 20_000}, "the answer"))
"""
ENVIRONMENTS = """
from invoke import Collection, task

@task
def status(context, json=False):
    print(context.config.env)

ns = Collection(status)
ns.configure({"env": "sandbox", "environments": {"dev": {}, "sandbox": {}, "other": {}}})
"""
THREE_LINES = re.compile(r"error: .+\n  why: .+\n next: .+\n")


def run(
    program: list[str], *words: str, cwd: Path = ROOT, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    command = [*program, "--search-root", str(cwd), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("program", [OURS, PLAIN], ids=["ours", "plain"])
@pytest.mark.parametrize(
    "words",
    [
        ["sandbox.faults", "--", "--plan"],
        ["sandbox.faults", "--json", "--", "--dry", "x"],
        ["--", "sandbox.faults"],
        ["db.revision", "--", "--help"],
        ["sandbox.faults", "-F", "--complete", "--", "--plan"],
    ],
    ids=" ".join,
)
def test_words_after_two_dashes_are_refused(program: list[str], words: list[str]) -> None:
    """Invoke drops them: `cdn.invalidate --yes -- --dry` invalidated."""
    done = run(program, *words)
    dropped = " ".join(words[words.index("--") + 1 :])
    assert done.returncode == 2
    assert done.stdout == "" or (program == OURS and "--json" in words and "error" in done.stdout)
    assert THREE_LINES.fullmatch(done.stderr) and f"words after --: {dropped}\n" in done.stderr


@pytest.mark.parametrize("program", [OURS, PLAIN], ids=["ours", "plain"])
def test_two_dashes_without_words_and_completion_still_work(program: list[str]) -> None:
    """Nothing is dropped, and completion scripts pass the line after `--`."""
    assert "fault" in run(program, "sandbox.faults", "--json", "--").stdout
    completed = run(program, "--complete", "--", "inv", "db.up")
    assert completed.returncode == 0 and "db.upgrade" in completed.stdout.split()


MISTAKES = [
    ("nosuch.task", "unknown task nosuch.task", "inv --list"),
    ("healt.all", "unknown task healt.all", "did you mean health.all?"),
    ("deploy", "unknown task deploy", "did you mean backend.deploy or frontend.deploy?"),
    ("db.current extra", "unknown task extra", "inv --list"),
    ("healt", "unknown task healt", "did you mean inv --list health?"),
    ("health.", "unknown task health.", "did you mean"),
    ("backnd.deploy", "unknown task backnd.deploy", "did you mean backend.deploy?"),
    ("--env dve status", "--env dve\n  why: configured are: dev, sandbox", "--env dev?"),
    ("status --env dve", "--env dve\n  why: configured are: dev, sandbox", "--env dev?"),
    ("--env", "error: --env\n  why: it needs a value", "inv --env NAME TASK"),
    ("--env= status", "error: --env\n  why: its value is empty", "inv --env NAME TASK"),
    ("--env dev status --env=dev", "--env given twice", "leave one of them out"),
    ("-D", "error: --list-depth\n  why: it needs a value", "inv --list-depth N"),
    ("--print-completion-script csh", "csh\n  why: known are: bash, zsh, fish", "script bash"),
    ("-T 5 backend.deploy", "-T/--command-timeout with backend.deploy", "--timeout 5m"),
    ("-e backend.deploy", "-e/--echo with backend.deploy", "inv backend.deploy --plan"),
    ("--hide both status", "--hide with status", "inv status 2>/dev/null"),
    ("-w status", "-w/--warn-only with status", "inv status || true"),
    ("--dry status", "--dry with status", "without --dry"),
    ("db.history --limit abc", "--limit abc\n  why: allowed: an integer", "db.history --help"),
    ("--help nosuch", "unknown task nosuch", "inv --list"),
    ("--list helth", "unknown namespace helth", "did you mean inv --list health?"),
    ("--list -F x", "-F/--list-format x", "inv --list"),
    ("-F json -D 2 --list", "not supported with JSON", "inv --help"),
    ("--jsn db.current", "unknown option --jsn of inv", "did you mean --json?"),
    ("--taag=5", "unknown option --taag of inv", "inv --help"),
    ("cdn.invalidate -x", "unknown option -x of cdn.invalidate", "inv cdn.invalidate --help"),
    ("backend.deploy -ty", "unknown option -ty of", "--tag or --yes or --timeout?"),
    ("backend.deploy --taag=5", "unknown option --taag of", "did you mean --tag?"),
    ("db.current --plan", "unknown option --plan of db.current\n", "inv db.current --help"),
    ("db.current --json=yes", "--json takes no value", "inv db.current --json"),
    (
        "backend.deploy --tag",
        "error: --tag\n  why: it needs a value",
        "inv backend.deploy --tag TAG",
    ),
    (
        "db.history --limit",
        "error: --limit\n  why: it needs a value",
        "inv db.history --limit N",
    ),
    ("preflight --skip", "error: --skip\n  why: it needs a value", "inv preflight --skip NAME"),
    ("cdn.invalidate --paths --yes", "error: --paths\n  why: it needs a value", "--paths PATHS"),
    (
        "backend.run --command=--plan",
        "error: --command --plan\n  why: --command needs a value, and a value cannot begin with -",
        "inv backend.run --command ' --plan'",
    ),
    (
        "backend.run --command=--version",
        "error: --command --version\n  why: --command needs a value, and a value cannot begin",
        "inv backend.run --command ' --version'",
    ),
    (
        "backend.run --command --plan",
        "error: --command\n  why: it needs a value, and a value cannot begin with -",
        "inv backend.run --command COMMAND",
    ),
    ("backend.logs --grep=-x", "a value cannot begin with -", "inv backend.logs --grep /-x/"),
    ("status -f", "error: --config\n  why: it needs a value", "inv status --config FILE"),
    ("-c", "error: --collection\n  why: it needs a value", "inv --collection NAME TASK"),
    ("-c nosuch --list", "task collection nosuch", "leave out -c"),
    ("db.revision", "db.revision needs message", "inv db.revision MESSAGE"),
    ("sandbox.mend", "sandbox.mend needs fault", "inv sandbox.mend FAULT"),
]


@pytest.mark.parametrize(("words", "says", "how"), MISTAKES, ids=[each[0] for each in MISTAKES])
def test_a_mistake_that_invoke_finds_is_three_lines(words: str, says: str, how: str) -> None:
    """By the program of ./inv; plain inv says them in one line, with exit code 1."""
    done = run(OURS, *words.split())
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert THREE_LINES.fullmatch(done.stderr) and says in done.stderr, done.stderr
    assert how in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.parametrize("words", ["health", "health --plan", "db health"])
def test_a_namespace_in_place_of_a_task_lists_its_tasks(words: str) -> None:
    """On stdout; the exit code is 2, since `inv backend` in a script is no deploy."""
    done = run(OURS, *words.split())
    space = words.split()[0]
    assert done.returncode == 2 and f"  {space}." in done.stdout
    assert f"error: {space} is a namespace, not a task\n" in done.stderr
    assert THREE_LINES.fullmatch(done.stderr) and f" next: inv {space}.TASK\n" in done.stderr


@pytest.mark.parametrize("words", ["--help health", "health --help", "health -h", "--list health"])
def test_the_help_of_a_namespace_is_its_list(words: str) -> None:
    """Asked for, so the exit code is 0."""
    done = run(OURS, *words.split())
    assert (done.returncode, done.stderr) == (0, "") and "  health.all " in done.stdout


@pytest.mark.parametrize("words", ["--env dev status", "status --env dev", "status --env=dev"])
def test_plain_inv_says_what_it_has_in_place_of_env(words: str) -> None:
    """Invoke's own program knows no such option."""
    done = run(PLAIN, *words.split())
    assert done.returncode == 2 and THREE_LINES.fullmatch(done.stderr)
    assert done.stderr.endswith(" next: ./inv --env dev …, or INVOKE_ENV=dev inv …\n")


@pytest.mark.parametrize("option", ["--timeout", "--lock-wait"])
@pytest.mark.parametrize("program", [OURS, PLAIN], ids=["ours", "plain"])
def test_a_duration_that_is_none_is_a_mistake(program: list[str], option: str) -> None:
    """Found while parsing, before the environment is read."""
    done = run(program, "backend.deploy", option, "soon")
    assert done.returncode == 2 and THREE_LINES.fullmatch(done.stderr)
    assert f"error: {option} soon\n  why: allowed: a number of seconds" in done.stderr
    assert done.stderr.endswith(f" next: inv backend.deploy {option} 5m\n")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("healt.all --json", "unknown task healt.all"),
        ("health --json", "health is a namespace, not a task"),
        ("--dry --json db.current", "--json before a task"),
        ("db.current --jsno --json", "unknown option --jsno of db.current"),
        ("db.revision --json", "db.revision without message"),
        ("db.history --json --limit abc", "--limit abc"),
        ("-T x status --json", "-D/--list-depth or -T/--command-timeout"),
        ("--env dve status --json", "--env dve"),
        ("--list --json", "--list --json"),
        ("backend.exec --command ls --json", "unknown option --json of backend.exec"),
        ("-c nosuch status --json", "task collection nosuch (-c, -r)"),
    ],
)
def test_an_error_is_a_document_with_json(words: str, what: str) -> None:
    """One document on stdout, and the three lines on stderr."""
    done = run(OURS, *words.split())
    assert done.returncode == 2 and json.loads(done.stdout)["error"]["what"] == what
    assert THREE_LINES.fullmatch(done.stderr)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--env dev status", "dev"),
        ("status --env dev", "dev"),
        ("status --env=dev --json", "dev"),
        ("--env sandbox status", "sandbox"),
    ],
)
def test_env_chooses_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, name: str
) -> None:
    """It is stronger than INVOKE_ENV and than -f FILE."""
    (tmp_path / "tasks.py").write_text(ENVIRONMENTS)
    (tmp_path / "other.yaml").write_text("env: other\n")
    monkeypatch.setenv("INVOKE_ENV", "other")
    for more in ((), ("-f", str(tmp_path / "other.yaml"))):
        done = run(OURS, *more, *words.split(), cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"{name}\n"), done.stderr


def test_commands_are_suggested_as_this_run_was_started(tmp_path: Path) -> None:
    """By the wrapper's own name, with --env and -f; documents too."""
    link = tmp_path / "inv"
    link.symlink_to(ROOT / "inv")
    for program in ("./inv", str(link)):
        done = subprocess.run(
            [program, "--env", "dev", "backend.deploy", "--taag", "--json"],
            cwd=ROOT if program == "./inv" else tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert " next: did you mean --tag?" in done.stderr
        done = subprocess.run(
            [program, "--env", "dev", "db.current", "--plan", "--json"],
            cwd=ROOT if program == "./inv" else tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        how = f"{program} --env dev db.current --help"
        assert done.stderr.endswith(f" next: {how}\n")
        assert json.loads(done.stdout)["error"]["next"] == how


def test_a_repeated_option_without_a_value_is_an_error_under_plain_inv() -> None:
    """`cdn.invalidate --yes --paths` invalidated everything."""
    done = run(PLAIN, "preflight", "--skip")
    assert done.returncode == 1 and "needed value" in done.stderr


@pytest.mark.parametrize("program", [OURS, PLAIN], ids=["ours", "plain"])
@pytest.mark.parametrize("words", [["answers"], ["answers", "--json"]], ids=" ".join)
def test_an_answer_on_a_full_disk_is_exit_1(
    tmp_path: Path, program: list[str], words: list[str]
) -> None:
    """The answer is on stderr, with three lines after it."""
    (tmp_path / "tasks.py").write_text(TASKS)
    with Path("/dev/full").open("w") as full:
        done = run(program, *words, cwd=tmp_path, stdout=full.fileno())
    assert done.returncode == 1
    assert done.stderr.startswith("the answer\nerror: the answer could not be written to stdout\n")


@pytest.mark.parametrize("program", [OURS, PLAIN], ids=["ours", "plain"])
@pytest.mark.parametrize("words", [["--list"], ["--help", "status"], ["status", "--help"]])
def test_a_list_on_a_full_disk_is_three_lines(program: list[str], words: list[str]) -> None:
    """Not a traceback, and not Python's exit code 120."""
    with Path("/dev/full").open("w") as full:
        done = run(program, *words, stdout=full.fileno())
    assert done.returncode == 1 and THREE_LINES.fullmatch(done.stderr), done.stderr
    assert "could not be written to stdout\n  why: [Errno 28]" in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_programs_version_on_a_full_disk_is_three_lines(
    monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    """Plain inv prints it before it loads our tasks."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        done = run(OURS, "--version", stdout=full.fileno())
    assert done.returncode == 1 and THREE_LINES.fullmatch(done.stderr), done.stderr
