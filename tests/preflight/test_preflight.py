"""`inv preflight` as its flow: what a user reads, and what stops a deploy, on moto's server and a
real checkout.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from ops.core.errors import ConfigError, Refused
from ops.preflight.model import Item
from ops.preflight.report import (
    PreflightReport,
    as_text,
    by_exception,
    group_by_service,
    preflight,
    refuse_if_blocked,
)
from ops.preflight.rules.checks import NAMES
from tests import plain_aws
from tests.preflight import preflight_platform as made


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    yield from plain_aws.served()


@pytest.fixture(scope="module")
def endpoint(aws: str) -> str:
    made.seeded(aws)
    return aws


@pytest.fixture
def folder(tmp_path: Path, httpserver: HTTPServer) -> Path:
    made.checkout(tmp_path)
    made.answering(httpserver)
    return tmp_path


def lines(report: PreflightReport) -> dict[str, Item]:
    return {line.item.name: line.item for line in report.lines}


def refusing(report: PreflightReport) -> list[str]:
    return [line.item.name for line in report.lines if line.item.status == "refuse"]


def test_a_whole_platform_is_ready(folder: Path, endpoint: str, httpserver: HTTPServer) -> None:
    """All is well: every check is shown once, none refuses, the exit code is 0 (plain moto never
    ends a rollout: a warning).
    """
    report = preflight(made.settings(folder, endpoint, httpserver))
    assert (report.ready, report.exit_code, set(lines(report))) == (True, 0, set(NAMES))
    assert {item.name for item in lines(report).values() if item.status != "ok"} <= {"service"}
    assert report.text.splitlines()[-1].startswith("ready: ")


def test_a_missing_service_refuses_by_its_name(
    folder: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """A wrong service name is no error in ECS, and a refusal here: exit 3, with the key to
    correct.
    """
    report = preflight(
        made.settings(folder, endpoint, httpserver, service={"ecs_service": "backend"})
    )
    assert (refusing(report), report.exit_code) == (["service"], 3)
    assert lines(report)["service"].detail == "cluster dev has no service backend (MISSING)"
    assert "environments.test.services.backend.ecs_service" in lines(report)["service"].next


def test_a_missing_cluster_refuses_with_its_reason(
    folder: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """A cluster that is not there is said as that, once."""
    report = preflight(made.settings(folder, endpoint, httpserver, cluster="prod"))
    assert refusing(report) == ["service"]
    assert "cluster prod does not exist" in lines(report)["service"].detail


def test_a_missing_repository_refuses_once(
    folder: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """Without the repository there is one refusal; the image points there."""
    report = preflight(made.settings(folder, endpoint, httpserver, service={"repository": "typo"}))
    assert refusing(report) == ["repository"]
    assert lines(report)["image"].detail == "not decided: see repository"


def test_credentials_of_another_account_are_the_one_refusal(
    folder: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """The wrong account is named with the right one, and nothing that was read there is judged."""
    report = preflight(made.settings(folder, endpoint, httpserver, account="999999999999"))
    assert refusing(report) == ["credentials"]
    assert "account 123456789012" in lines(report)["credentials"].detail
    assert "environment test is account 999999999999" in lines(report)["credentials"].detail


def test_nothing_that_answers_is_one_refusal_a_cause(folder: Path, httpserver: HTTPServer) -> None:
    """AWS and the engine down, and no endpoints reached: two refusals, for credentials and engine;
    the rest is unknown, never ok.
    """
    report = preflight(made.settings(folder, "http://127.0.0.1:1", httpserver, engine=made.CLOSED))
    assert refusing(report) == ["engine", "credentials"]
    aside = {
        "tools",
        "git-clean",
        "branch",
        "pushed",
        "context",
        "tests",
        "engine",
        "credentials",
        "terraform",
        "endpoints",
    }
    assert {item.status for name, item in lines(report).items() if name not in aside} == {"unknown"}


def test_a_dirty_tree_and_another_branch_are_refused(
    folder: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """What is not committed is shown by name; --skip lets each pass and stays in the list."""
    made.git(folder / "platform", "switch", "-q", "-c", "topic")
    folder.joinpath("platform", "notes.txt").write_text("x")
    settings = made.settings(folder, endpoint, httpserver)
    report = preflight(settings)
    assert refusing(report) == ["git-clean", "branch"]
    assert "notes.txt" in lines(report)["git-clean"].detail
    skipped = preflight(settings, "backend", frozenset({"git-clean", "branch"}))
    assert [lines(skipped)[name].status for name in ("git-clean", "branch")] == [
        "skipped",
        "skipped",
    ]
    assert skipped.ready


def test_a_checkout_that_is_none_refuses(
    tmp_path: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """A folder that is no git checkout can name no image."""
    made.answering(httpserver)
    tmp_path.joinpath("platform", "backend").mkdir(parents=True)
    report = preflight(made.settings(tmp_path, endpoint, httpserver))
    assert refusing(report) == ["git-clean", "image"]
    assert "not a git work tree" in lines(report)["git-clean"].detail


def test_a_commit_that_is_not_pushed_is_a_warning(
    folder: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """A commit that nobody else has is said, and stops nothing."""
    made.git(folder / "platform", "commit", "-q", "--allow-empty", "-m", "More")
    report = preflight(made.settings(folder, endpoint, httpserver))
    assert (lines(report)["pushed"].status, report.ready) == ("warn", True)


def test_what_a_task_definition_lacks_is_refused(
    folder: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """A missing JSON key and a missing log group are found before the deploy, by name, and no
    secret's value is shown.
    """
    secret, logs = made.client(endpoint, "secretsmanager"), made.client(endpoint, "logs")
    secret.put_secret_value(SecretId="db", SecretString='{"username": "hunter2"}')
    logs.delete_log_group(logGroupName="/ecs/backend")
    try:
        report = preflight(made.settings(folder, endpoint, httpserver))
    finally:
        secret.put_secret_value(
            SecretId="db", SecretString='{"username": "u", "password": "hunter2"}'
        )
        logs.create_log_group(logGroupName="/ecs/backend")
    assert refusing(report) == ["secrets", "log-group"]
    assert "has no key password; it has username" in lines(report)["secrets"].detail
    assert "hunter2" not in report.text


def test_shared_checks_are_shown_once(folder: Path, endpoint: str, httpserver: HTTPServer) -> None:
    """Two services: git and credentials stand once, under the environment; service and image under
    each service.
    """
    settings = made.settings(folder, endpoint, httpserver)
    backend = settings.environment.services["backend"]
    other = backend.model_copy(update={"ecs_service": "typo", "tests": ["false"]})
    both = settings.environment.model_copy(
        update={"services": {"backend": backend, "frontend": other}}
    )
    report = preflight(settings.model_copy(update={"environment": both}), all=True)
    count = {
        name: sum(line.item.name == name for line in report.lines)
        for name in ("credentials", "git-clean", "service", "tests")
    }
    assert count == {"credentials": 1, "git-clean": 1, "service": 2, "tests": 2}
    headings = [
        line for line in report.text.splitlines() if line.endswith(":") and not line.startswith(" ")
    ]
    assert headings == ["test:", "backend:", "frontend:"]
    checks = json.loads(json.dumps(report.document))["checks"]
    refused = {(check["service"], check["name"]) for check in checks if check["status"] == "refuse"}
    assert refused == {("frontend", "service"), ("frontend", "tests")}
    assert {frozenset(check) for check in checks} == {
        frozenset({"service", "name", "status", "detail", "next"})
    }


def test_an_unknown_service_is_a_mistake(
    folder: Path, endpoint: str, httpserver: HTTPServer
) -> None:
    """--service bakend is exit 2 and names those that there are."""
    with pytest.raises(ConfigError, match="its services are: backend"):
        preflight(made.settings(folder, endpoint, httpserver), "bakend")


def test_a_shared_check_that_differs_is_shown_for_each() -> None:
    """What is the same for all services stands once; what differs stands under each."""
    good, bad = Item("engine", "ok", "27"), Item("engine", "refuse", "down")
    assert [
        (line.service, line.item.status) for line in group_by_service({"a": (good,), "b": (bad,)})
    ] == [
        ("a", "ok"),
        ("b", "refuse"),
    ]
    assert [
        (line.service, line.item.status) for line in group_by_service({"a": (good,), "b": (good,)})
    ] == [(None, "ok")]


def test_the_table_is_aligned_and_readable_without_colour() -> None:
    """A mark and a word for each status, names and details in columns, more lines and the next step
    below their detail.
    """
    items = (
        Item("tools", "ok", "git 2"),
        Item("git-clean", "refuse", "exited with 1\nFAILED", "fix it"),
        Item("x", "unknown", "why"),
    )
    assert as_text(items).splitlines() == [
        "✓ ok       tools      git 2",
        "✗ refuse   git-clean  exited with 1",
        "                      FAILED",
        "                      next: fix it",
        "? unknown  x          why",
    ]


def test_a_blocked_deploy_says_why_in_three_lines() -> None:
    """One refusal: what, why, what to type. Several: all are named. Warnings and unknowns block
    nothing. Exit 3.
    """
    dirty = Item("git-clean", "refuse", "1 change not committed: M a", "commit it")
    refuse_if_blocked(
        (
            Item("pushed", "warn", "x", "y"),
            Item("secrets", "unknown", "x"),
            Item("tests", "skipped", "x"),
        )
    )
    with pytest.raises(Refused) as one:
        refuse_if_blocked((dirty,))
    assert str(one.value).splitlines() == [
        "error: preflight refuses: git-clean",
        "  why: 1 change not committed: M a",
        " next: commit it, or skip: --skip git-clean",
    ]
    with pytest.raises(Refused) as several:
        refuse_if_blocked((dirty, Item("service", "refuse", "MISSING\nmore", "correct it")))
    assert several.value.code == 3
    assert len(str(several.value).splitlines()) == 3
    assert several.value.why == "git-clean: 1 change not committed: M a; service: MISSING"
    assert "--skip" not in several.value.next


def test_a_deploy_lists_only_the_checks_that_are_not_ok() -> None:
    """One line with the counts, and the exceptions below it, the worst first; all on request."""
    items = (
        Item("tools", "ok", "git 2"),
        Item("migrations", "warn", "1 pending", "inv db.upgrade"),
        Item("git-clean", "refuse", "not clean"),
        Item("secrets", "unknown", "no answer"),
    )
    assert by_exception(items, 1.94, all=False).splitlines() == [
        "✗ preflight  1 ok · 1 warning · 1 refused · 1 unknown  1.9 s",
        "  ✗ refuse   git-clean   not clean",
        "  ? unknown  secrets     no answer",
        "  ! warn     migrations  1 pending",
        "                         next: inv db.upgrade",
    ]
    assert by_exception(items[:1], 0.5, all=False) == "✓ preflight  1 ok  0.5 s"
    unknown = by_exception((items[0], items[3]), 0.5, all=False)
    assert unknown.startswith("? preflight  1 ok · 1 unknown")
    assert by_exception(items[:2], 0.5, all=True).splitlines()[:2] == [
        "✓ preflight  1 ok · 1 warning  0.5 s",
        "  ✓ ok       tools       git 2",
    ]
