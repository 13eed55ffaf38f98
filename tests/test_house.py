"""What `import tasks` may cost, help for everything, and Invoke's silences refused."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPS = ROOT / "ops"
HEAVY = (
    "alembic",
    "boto3",
    "botocore",
    "docker",
    "fabric",
    "flask",
    "httpx",
    "moto",
    "paramiko",
    "psycopg",
    "pydantic",
    "rich",
    "sqlalchemy",
    "werkzeug",
)


def test_import_tasks_needs_no_heavy_library() -> None:
    """`inv --list` stays quick because `import tasks` works with every heavy library blocked."""
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in HEAVY)
    program = f"import sys; {blocked}; import tasks; print(len(tasks.ns.task_names))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_every_task_and_parameter_has_help() -> None:
    """Every task has a docstring, and every parameter a help text."""
    sys.path.insert(0, str(ROOT))
    import tasks

    for name in tasks.ns.task_names:
        task = tasks.ns[name]
        assert (task.__doc__ or "").strip(), f"{name} has no docstring"
        for argument in task.get_arguments():
            assert argument.help, f"{name} --{argument.name} has no help"


@pytest.mark.parametrize(
    "path", sorted(OPS.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_module_says_what_it_is(path: Path) -> None:
    """Decisions live in the docstring of the module that they shape."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), (
        f"{path} has no docstring"
    )


def inv(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def test_two_services_on_one_line_are_two_calls() -> None:
    """`inv backend.deploy frontend.deploy` is two calls: Invoke takes the generated tasks for one
    unless `dedupe: false` stands.

    tests/deploy/test_deploy.py runs the two for real."""
    sys.path.insert(0, str(ROOT))
    from invoke.config import Config
    from invoke.executor import Executor

    import tasks

    config = Config(project_location=ROOT)
    config.load_project()
    executor = Executor(tasks.ns, config)
    calls = executor.expand_calls(executor.normalize(("backend.deploy", "frontend.deploy")))
    assert len(executor.dedupe(calls)) == 1, (
        "Invoke no longer takes them for one: the setting can go"
    )
    assert len(executor.dedupe(calls) if config.tasks.dedupe else calls) == 2


@pytest.mark.parametrize(
    ("words", "environment", "says"),
    [
        (("-f", "none-such.yaml", "preflight"), {}, "none-such.yaml"),
        (("preflight",), {"INVOKE_ENW": "dev"}, "did you mean INVOKE_ENV"),
        (("preflight",), {"INVOKE_ENV": "prod"}, "environment 'prod'"),
        (("preflight",), {"INVOKE_TASKS_DEDUPE": "false"}, "INVOKE_TASKS_DEDUPE=false"),
        (("backend.deploy", "--timeout", "soon"), {"INVOKE_ENV": "dev"}, "--timeout soon"),
    ],
)
def test_silences_of_invoke_are_refused(
    words: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    """A typo in a file name, variable, environment or duration is exit 2 with three lines, never
    ignored.
    """
    done = inv(*words, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr and " next: " in done.stderr and "Traceback" not in done.stderr


def test_the_sandboxs_page_says_what_the_code_says() -> None:
    """docs/sandbox.md gathers every emulation's own words; `inv dev.docs` brings it up to date."""
    sys.path.insert(0, str(ROOT))
    from docs import gather

    page = (ROOT / gather.PAGE).read_text(encoding="utf-8")
    assert page == gather.gathered(ROOT), "run inv dev.docs"
    assert len(gather.emulations(ROOT)) > 20


def test_the_page_of_findings_is_gathered() -> None:
    """docs/findings.md has every registered cause; `inv dev.docs` brings it up to date."""
    from docs import gather

    page = (ROOT / gather.FINDINGS).read_text(encoding="utf-8")
    assert page == gather.findings(ROOT), "run inv dev.docs"
    assert page.count("\n### ") > 70
