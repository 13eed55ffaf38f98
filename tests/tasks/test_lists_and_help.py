"""`inv`, `inv --list`, `inv --list NAMESPACE` and `inv TASK --help`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.parser import Parser

from ops.core.config import load
from ops.core.invocation import invocation
from ops.tasks.arguments import OpsTask
from ops.tasks.assembly import service_names
from ops.tasks.command_line import help_page, listing
from ops.tasks.command_line.examples import examples_of
from ops.tasks.program import OpsProgram

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
import tasks  # noqa: E402  # needs the path above

PATHS = sorted(tasks.ns.task_names)


@pytest.fixture(autouse=True)
def plain_program() -> Iterator[None]:
    """A program that runs in this process leaves nothing behind."""
    yield
    OpsTask.help_printer = None
    invocation.set_options(None, None)


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", "80")
    return 80


def test_the_list_fits_a_screen(columns: int) -> None:
    """24 lines of 80 columns: a line for each namespace."""
    lines = listing.overview(tasks.ns).splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= columns
    for name in [*tasks.ns.tasks, *(f"{space}.*" for space in tasks.ns.collections)]:
        (row,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert len(row.split()) > 2, row


@pytest.mark.parametrize("name", sorted(tasks.ns.collections))
def test_a_namespace_is_a_line_for_each_task(columns: int, name: str) -> None:
    lines = listing.namespace(tasks.ns.collections[name], name).splitlines()
    assert max(map(len, lines)) <= columns and len(lines) <= 24
    assert sum(line.startswith(f"  {name}.") for line in lines) == len(
        tasks.ns.collections[name].tasks
    )


def test_nothing_is_cut_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets whole lines."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "…" not in listing.namespace(tasks.ns.collections["db"], "db")


@pytest.mark.parametrize("path", PATHS)
def test_every_task_has_a_help_page_that_does_nothing(
    columns: int, path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Description, options, examples, exit codes, and a page of the documentation that exists."""
    before = sorted(ROOT.glob("alembic/versions/*.py"))
    monkeypatch.setattr(OpsTask, "__call__", pytest.fail)
    for words in ([path, "--help"], [path, "-h"], ["--help", path]):
        OpsProgram(namespace=tasks.ns).run(["inv", *words], exit=False)
    printed = capsys.readouterr()
    assert printed.err == "" and sorted(ROOT.glob("alembic/versions/*.py")) == before
    first, second, third = printed.out.split("usage: ")[1:]
    assert first == second == third
    assert max(map(len, first.splitlines())) <= columns
    description = listing.first_line(tasks.ns[path])
    assert " ".join(description.split())[:40].lower() in " ".join(first.split()).lower()
    for argument in tasks.ns[path].get_arguments():
        word = "" if argument.positional else f"--{argument.name.strip('_').replace('_', '-')}"
        assert word in first
    assert "\nExamples:\n  inv " in first and "\nExit codes:\n  0    done\n" in first
    assert (ROOT / first.rsplit("Documentation: ", 1)[1].strip()).is_file()


@pytest.mark.parametrize("path", PATHS)
def test_every_example_is_a_command_line(path: str) -> None:
    """Each parses; the page of a task shows the task itself."""
    found = examples_of(path)
    for example in found:
        core = OpsProgram().initial_context
        parsed = Parser(tasks.ns.to_contexts(), initial=core).parse_argv(shlex.split(example))
        assert all(context.name in PATHS for context in parsed[1:])
    assert any(path in example for example in found)


def test_a_rollout_has_the_exit_codes_of_its_verdicts() -> None:
    assert set(help_page.exit_codes(tasks.ns["backend.deploy"], "backend.deploy")) == {
        *range(7),
        130,
    }
    assert "unknown" in help_page.exit_codes(tasks.ns["health.all"], "health.all")[1]


@pytest.mark.parametrize(
    ("path", "failure"),
    [
        ("env.show", "failed, and not undone"),
        ("env.check", "something is different, or unknown"),
        ("status", "a service is not healthy, or unknown"),
        ("backend.status", "not healthy, or unknown"),
        ("sandbox.status", "not ready"),
        ("lock.status", "failed, and not undone"),
        ("db.lint", "a revision is blocked"),
        ("troubleshoot.all", "something is wrong, or unknown"),
    ],
)
def test_exit_code_1_is_explained_where_it_is_a_result(path: str, failure: str) -> None:
    assert help_page.exit_codes(tasks.ns[path], path)[1] == failure


def test_no_service_can_have_the_name_of_a_namespace() -> None:
    """Every namespace and task of this tool is reserved, listed, and has a page."""
    own = set(tasks.ns.collections) - set(service_names())
    assert set(listing._OWN) == own
    assert load._RESERVED == own | set(tasks.ns.tasks) == set(help_page._PAGES)


def test_the_version_is_this_tools(capsys: pytest.CaptureFixture[str]) -> None:
    OpsProgram(namespace=tasks.ns).run(["inv", "--version"], exit=False)
    assert capsys.readouterr().out.startswith("ecs-runbook 0.")


def test_help_shows_no_option_that_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    OpsProgram().run(["inv", "--help"], exit=False)
    page = capsys.readouterr().out
    assert "--env NAME" in page and "--list [NAMESPACE]" in page
    assert not [option for option in ("--dry", "--echo", "--pty", "--warn-only") if option in page]
