"""AWS's answers spoiled one by one before the commands: unknown is said, never taken for fine, and
a hang ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.core.config.settings import Settings
from ops.core.errors import OpsError
from ops.core.findings import Unknown
from ops.ecs import status
from ops.health import sweep
from ops.health.model import SweepRequest
from ops.platform import Platform
from ops.preflight import report as preflight_report
from ops.preflight.read_facts import all_facts
from ops.preflight.rules.checks import check
from ops.state import lock_admin, records
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.faulty_aws import FaultyAws, before_aws, proxied

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
KINDS = ("denied", "html")
SKIP = frozenset({"migrations", "cdn"})
PREFLIGHT = {
    "GetCallerIdentity": "credentials",
    "DescribeRepositories": "repository",
    "DescribeImages": "image",
    "DescribeServices": "service",
    "DescribeTaskDefinition": "container",
    "ListTasks": "tasks",
    "DescribeTasks": "tasks",
    "DescribeTargetHealth": "tasks",
    "DescribeTargetGroups": "health-path",
    "GetSecretValue": "secrets",
    "DescribeLogGroups": "log-group",
}
HEALTH = (
    "GetCallerIdentity",
    "DescribeClusters",
    "DescribeServices",
    "ListTasks",
    "DescribeTasks",
    "DescribeTaskDefinition",
    "ListObjectsV2 releases",
    "GetObject releases",
    "DescribeTargetHealth",
    "DescribeTargetGroups",
    "FilterLogEvents",
)


@pytest.fixture(scope="module")
def released(platform: Checkout) -> str:
    """A release of the backend with its record; its tag."""
    done = platform.inv("backend.deploy", "--json", "--skip", "tests")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["tag"])


@pytest.fixture
def faulty(platform: Checkout) -> Iterator[FaultyAws]:
    with proxied(world.overlay(platform)["aws"]["endpoint"]) as found:
        yield found


def through(faulty: FaultyAws, checkout: Checkout, read_timeout: float = 5.0) -> Platform:
    """The sandbox's environment in this process, by the proxy; a new client each time."""
    shipped = yaml.safe_load((checkout.root / "invoke.yaml").read_text())["environments"]["sandbox"]
    values: dict[str, Any] = {**shipped, **world.overlay(checkout)}
    values["database"] = None
    values["services"] = {"backend": {**shipped["services"]["backend"], "tests": None}}
    values["aws"] = {**values["aws"], "endpoint": faulty.url, "read_timeout": read_timeout}
    values.pop("overlay", None)
    return Platform.of(Settings(name="sandbox", root=checkout.root, environment=values))


@pytest.mark.parametrize("kind", KINDS)
def test_preflight_passes_nothing_that_it_could_not_read(
    platform: Checkout, released: str, faulty: FaultyAws, kind: str
) -> None:
    """Each call in turn: its check refuses or is unknown, and says why."""
    ours = through(faulty, platform)
    for operation, name in PREFLIGHT.items():
        faulty.faults.clear()
        faulty.spoil(operation, kind)
        facts = all_facts(
            ours, ("backend",), released, say=lambda line: None, skip=SKIP, tests=False
        )["backend"]
        items = {item.name: item for item in check(facts, ours.settings.environment, SKIP)}
        assert faulty.struck[operation], operation
        assert items[name].status in ("refuse", "unknown"), (operation, items[name])
        reasons = ("may not x:",) if kind == "denied" else ("is not AWS", "answered without")
        assert any(reason in items[name].detail for reason in reasons), (operation, items[name])


@pytest.mark.parametrize("kind", KINDS)
def test_health_is_not_healthy_where_something_could_not_be_read(
    platform: Checkout, released: str, faulty: FaultyAws, kind: str
) -> None:
    """Each call in turn: a check is unknown, so the exit code is 1."""
    ours, request = through(faulty, platform), SweepRequest(only=("ecs", "targets", "logs"))
    for operation in HEALTH:
        faulty.faults.clear()
        faulty.spoil(operation, kind)
        found = sweep.sweep(ours, request, None)
        assert faulty.struck[operation], operation
        unknown = [item for item in found.checks if item.status == "unknown"]
        assert unknown and not found.healthy, (operation, found.checks)


@pytest.mark.parametrize("kind", KINDS)
def test_releases_and_status_say_what_they_do_not_know(
    platform: Checkout, released: str, faulty: FaultyAws, kind: str
) -> None:
    """`current` without the tasks, `verdict` without the records, `in_ecr` without ECR: null, and
    never false.
    """
    expected: dict[str, dict[str, Any]] = {
        "ListTasks": {"current": None},
        "DescribeTasks": {"current": None},
        "ListObjectsV2 releases": {"recorded": None, "verdict": None, "commit": None, "by": None},
        "GetObject releases": {"recorded": None, "verdict": None},
        "DescribeImages": {"in_ecr": None, "current": True},
    }
    reader = through(faulty, platform)
    for operation, fields in expected.items():
        faulty.faults.clear()
        faulty.spoil(operation, kind)
        rows = records.releases(reader, "backend").document["releases"]
        ours = next(row for row in rows if row["tag"] == released)
        assert {name: ours[name] for name in fields} == fields, (operation, ours)
    faulty.faults.clear()
    faulty.spoil("DescribeTasks", kind)
    found = status.status(reader.settings, ("backend",))
    assert isinstance(found.services[0].tasks, Unknown) and found.exit_code == 1
    assert found.document["services"][0]["tasks"] is None
    assert "tasks: unknown: " in found.text


@pytest.mark.parametrize("kind", ["denied", "html", "cut", "empty"])
def test_locks_that_could_not_be_listed_are_an_error(
    platform: Checkout, faulty: FaultyAws, kind: str
) -> None:
    """Not `{"locks": []}`."""
    faulty.spoil("ListObjectsV2 locks", kind)
    ours = through(faulty, platform)
    with pytest.raises(OpsError):
        lock_admin.lock_status(ours.cloud, ours.settings)


def test_calls_that_hang_end_and_are_unknown(
    platform: Checkout, released: str, faulty: FaultyAws
) -> None:
    """ListTasks and STS without an answer: the preflight ends after a few silences, and says which
    calls.
    """
    for operation in ("ListTasks", "GetCallerIdentity"):
        faulty.spoil(operation, "hang")
    ours, began = through(faulty, platform, 0.5), time.monotonic()
    report = preflight_report.read_and_check(
        replace(ours), ("backend",), SKIP | {"git-clean", "branch"}
    )
    assert time.monotonic() - began < 30 and not report.ready
    text = report.text
    assert "did not answer in time" in text and "sts:GetCallerIdentity" in text


STOPS = (
    ("GetObject locks", "denied", 1, "failed"),
    ("PutObject locks", "hang", 1, "failed"),
    ("GetCallerIdentity", "html", 3, "refused"),
    ("DescribeTasks", "denied", 3, "refused"),
)


@pytest.mark.parametrize(
    ("operation", "kind", "code", "verdict"), STOPS, ids=[f"{each[0]} {each[1]}" for each in STOPS]
)
def test_a_deploy_that_stops_before_a_change_prints_its_document(
    platform: Checkout, released: str, operation: str, kind: str, code: int, verdict: str
) -> None:
    """Whatever stops it: the fields of any deploy, its verdict, and the error beside them."""
    before = world.newest_revision(platform)
    with before_aws(platform) as faulty:
        faulty.spoil(operation, kind)
        done = platform.inv("backend.deploy", "--tag", released, "--json", "--skip", "tests,cdn")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"]) == (code, verdict), done.stderr
    assert (
        found["service"] == "backend"
        and found["environment"] == "sandbox"
        and found["tag"] == released
    )
    assert {"steps", "findings", "not_undone", "health", "image"} < found.keys() and found["error"][
        "why"
    ]
    assert "bug" not in done.stderr and world.newest_revision(platform) == before


def test_a_deploy_whose_answers_are_lost_is_what_it_is(platform: Checkout, released: str) -> None:
    """AWS does what it was asked for, and the answers to register, update and the record's write
    are empty: succeeded, with its record.
    """
    tag = world.commit(platform, {"backend/lost.txt": "lost"}, "Lose some answers")
    with before_aws(platform) as faulty:
        for operation in ("RegisterTaskDefinition", "UpdateService", "PutObject releases"):
            faulty.spoil(operation, "lost")
        done = platform.inv("backend.deploy", "--json", "--skip", "tests")
        assert all(faulty.struck[operation] for operation in faulty.faults)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (
        found["verdict"] == "succeeded"
        and found["tag"] == tag
        and "registered all the same" in done.stderr
    )
    (row,) = (
        row
        for row in json.loads(platform.inv("backend.releases", "--json").stdout)["releases"]
        if row["tag"] == tag
    )
    assert row["verdict"] == "succeeded" and row["current"]


def test_a_deploy_whose_proof_hangs_ends(platform: Checkout, released: str) -> None:
    """DescribeTasks never answers from UpdateService on: failed as unproven in time, nothing
    undone, the lock freed, recorded.
    """
    tag, began = (
        world.commit(platform, {"backend/hang.txt": "hang"}, "Hang the proof"),
        time.monotonic(),
    )
    with before_aws(platform) as faulty:
        faulty.spoil("DescribeTasks", "hang", when=lambda: bool(faulty.seen["UpdateService"]))
        done = platform.inv(
            "backend.deploy", "--json", "--skip", "tests", "--timeout", "60", timeout=200
        )
    assert time.monotonic() - began < 150 and done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "failed" and "unproven" in [
        each["cause"] for each in found["findings"]
    ]
    assert world.version(platform) == tag
    assert json.loads(platform.inv("lock.status", "--json").stdout) == {"locks": []}
    rows = json.loads(platform.inv("backend.releases", "--json").stdout)["releases"]
    assert [row["verdict"] for row in rows if row["tag"] == tag] == ["failed"]


def test_an_answer_that_a_full_disk_did_not_take_is_no_success(
    platform: Checkout, released: str
) -> None:
    """`deploy --json > /dev/full`: exit 1, and the verdict on stderr."""
    runs = world.version(platform)
    words = [
        "--search-root",
        str(platform.root),
        "backend.deploy",
        "--tag",
        runs,
        "--json",
        "--skip",
        "tests",
    ]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "invoke", *words],
            cwd=platform.root,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (
        done.returncode == 1
        and "could not be written to stdout" in done.stderr
        and "No space left" in done.stderr
    )
    assert f"succeeded  backend {runs}" in done.stderr
