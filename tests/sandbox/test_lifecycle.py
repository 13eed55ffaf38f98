"""The way up and down, as a user meets it: one real sandbox, hurt in every way, and a second one
beside it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import docker
import psutil
import pytest
import yaml

from ops.core.errors import ConfigError, OpsError, Refused
from ops.sandbox import lifecycle
from ops.sandbox.contracts import Paths
from ops.sandbox.sample import Commit, git
from tests.sandbox.lifecycle_support import (
    database,
    deploy,
    get,
    healthy,
    memory,
    operator,
    processes,
    visiting,
)
from tests.waiting import until

PROJECT = Path(__file__).parents[2]
UP = """
import sys
from pathlib import Path
from ops.sandbox import lifecycle
lifecycle.up(Path(sys.argv[1]), rollout="ecs", say=print)
print("returned")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("a checkout with spaces") / ".sandbox"
    lifecycle.up(folder, rollout="ecs")
    yield folder
    lifecycle.down(folder, purge=True)


def test_ready_means_that_version_1_answers(root: Path) -> None:
    """After `up` the site's health names the tag of version 1, the table is read, and the status
    carries every endpoint.
    """
    document = lifecycle.status(root).as_document()
    first = git(root / "platform", "rev-parse", "--short", "main~1")
    assert document["ready"] is True
    assert document["source"] == str(root / "platform")
    assert {name for name, where in document["endpoints"].items() if where} >= {
        "aws",
        "site",
        "registry",
        "docker",
        "bastion",
        "database",
    }
    assert {**get(root, "/api/health"), "timestamp": ""} == {
        "status": "ok",
        "timestamp": "",
        "database": "connected",
        "version": first,
    }
    assert get(root, "/health")["version"] == first
    assert [project["title"] for project in get(root, "/api/projects")] == [
        "DavidShaevel.com Platform"
    ]


def test_the_overlay_is_what_the_settings_take(root: Path) -> None:
    """The overlay holds addresses and this start's keys, is readable by its owner alone, and the
    database only by its name in the VPC.
    """
    overlay = root / "environment.yaml"
    values = yaml.safe_load(overlay.read_text())
    assert stat.S_IMODE(overlay.stat().st_mode) == 0o600
    assert set(values) == {
        "aws",
        "engine",
        "site",
        "site_tls",
        "site_ca",
        "alb",
        "source",
        "bastion",
        "rollout",
    }
    secret = operator(root).secrets.get_secret_value(SecretId="dev-davidshaevel-db-credentials")[
        "SecretString"
    ]
    assert (
        json.loads(secret)["host"].endswith(".rds.amazonaws.com")
        and json.loads(secret)["dbname"] == "davidshaevel"
    )
    assert (
        stat.S_IMODE((root / "bastion").stat().st_mode),
        stat.S_IMODE((root / "bastion/identity").stat().st_mode),
    ) == (0o700, 0o600)
    assert docker.DockerClient(base_url=values["engine"]).ping()


def test_a_second_up_changes_nothing(root: Path) -> None:
    """The same supervisor goes on, and it says so; another engine, rollout or registry is refused
    while it runs.
    """
    before = lifecycle.status(root).pid
    said: list[str] = []
    assert lifecycle.up(root, say=said.append).pid == before
    assert said == [f"the sandbox is already up (pid {before})"]
    with pytest.raises(Refused, match="engine process"):
        lifecycle.up(root, engine="docker")
    with pytest.raises(Refused, match="rollout ecs"):
        lifecycle.up(root, rollout="terraform")
    with pytest.raises(Refused, match=r"registry \(none\)"):
        lifecycle.up(root, registry="127.0.0.1:5000")


def test_a_step_of_the_clock_ends_no_sandbox(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux computes start times from the clock: NTP, or a restored virtual machine, moves them."""
    before = lifecycle.status(root)
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda each: create_time(each) + 58)
    assert before.ready and lifecycle.status(root) == before


def test_a_killed_postgres_comes_back_by_itself(root: Path) -> None:
    """kill -9 of PostgreSQL: the supervisor starts it again and the backend is healthy, without an
    `up`.
    """
    before = processes(root)
    os.kill(before["postgres"][0], signal.SIGKILL)
    until(lambda: processes(root)["postgres"] not in ([], before["postgres"]))
    assert until(lambda: get(root, "/api/health"))["database"] == "connected"
    assert processes(root)["supervisor"] == before["supervisor"]


def test_a_killed_task_is_replaced(root: Path) -> None:
    """kill -9 of a task's process: the service has its two healthy tasks again, without an `up`."""
    until(lambda: healthy(root, "dev-backend-tg") == 2)
    victim = processes(root)["tasks"][0]
    os.kill(victim, signal.SIGKILL)
    until(
        lambda: (
            len(set(processes(root)["tasks"]) - {victim}) == 4
            and victim not in processes(root)["tasks"]
        )
    )
    until(lambda: healthy(root, "dev-backend-tg") == healthy(root, "dev-frontend-tg") == 2)


def test_a_killed_supervisor_is_healed_with_what_was_deployed(root: Path) -> None:
    """Deploy the second commit with no failed request, kill -9 the supervisor: `up` ends the
    orphans and runs what was deployed.
    """
    paths, before = Paths(root), lifecycle.status(root)
    commit = Commit(*git(paths.platform, "log", "-1", "--format=%H %h %cI").split())
    with visiting(root) as answers:
        deploy(paths, commit)
        until(
            lambda: (
                get(root, "/api/health").get("service") == "backend"
                and memory(root) == f"davidshaevel/backend:{commit.short}"
            )
        )
    assert len(answers) > 20
    assert set(answers) == {"ok"}
    old = processes(root)
    os.kill(old["supervisor"][0], signal.SIGKILL)
    until(lambda: not processes(root)["tasks"])
    assert lifecycle.status(root).ready is False
    said: list[str] = []
    after = lifecycle.up(root, say=said.append)
    now = processes(root)
    assert after.ready
    assert after.ports == before.ports
    assert [len(pids) for pids in now.values()] == [1, 1, 4]
    assert not {pid for pids in now.values() for pid in pids} & {
        pid for pids in old.values() for pid in pids
    }
    assert get(root, "/api/health")["version"] == commit.short
    assert any("created AWS again" in line and commit.short in line for line in said)


def test_a_damaged_record_is_written_again(root: Path) -> None:
    """supervisor.json cut in half: the supervisor goes on and writes it again; `up` finds it and
    changes nothing.
    """
    before = lifecycle.status(root)
    record = Paths(root).record
    record.write_text(record.read_text()[:100])
    assert lifecycle.up(root).pid == before.pid
    assert lifecycle.status(root).as_document() == before.as_document()


def test_a_sandbox_of_another_version_is_replaced(root: Path) -> None:
    """What an older version left running has other doors: `up` restarts it, with new keys at the
    same addresses.
    """
    before, keys = lifecycle.status(root), (root / "environment.yaml").read_text()
    said: list[str] = []
    record = Paths(root).record
    older = {
        name: value
        for name, value in json.loads(record.read_text()).items()
        if name not in ("layout", "socket")
    }
    record.write_text(json.dumps({**older, "ports": {**older["ports"], "engine": 1}}))
    after = lifecycle.up(root, say=said.append)
    assert said[0] == "the sandbox was started by another version: restarting it"
    assert after.ready and after.pid != before.pid and after.endpoints() == before.endpoints()
    assert (root / "environment.yaml").read_text() != keys


def test_truncated_state_is_made_again(root: Path) -> None:
    """Killed, and every small file of it cut in half: `up` comes to a healthy platform, and goes on
    where it can't note what runs.
    """
    os.kill(processes(root)["supervisor"][0], signal.SIGKILL)
    until(lambda: not processes(root)["tasks"])
    places = (
        root,
        root / "bastion",
        root / "postgres",
        root / "tasks",
        root / "images/registry",
        root / "images/engine",
    )
    files = [
        *places[0].iterdir(),
        *places[1].iterdir(),
        *places[2].iterdir(),
        *(file for each in places[3:] for file in each.rglob("*")),
    ]
    for file in (
        file
        for file in files
        if file.is_file() and not file.is_symlink() and file.name != "location"
    ):
        os.truncate(file, file.stat().st_size // 2)
    (root / "services.json").unlink()
    (root / "services.json").mkdir()
    said: list[str] = []
    assert lifecycle.up(root, rollout="ecs", say=said.append).ready
    assert any(line.startswith("database: its passwords can't be read") for line in said)
    assert get(root, "/api/health")["database"] == "connected"
    until(lambda: "services.json" in (root / "logs/progress.log").read_text())
    assert lifecycle.status(root).ready
    (root / "services.json").rmdir()


def test_an_invalidation_takes_effect_when_it_is_completed(root: Path) -> None:
    """The home page comes from the cache until CloudFront says Completed, then once from the
    origin.
    """
    endpoints = lifecycle.status(root).endpoints()
    cloudfront = operator(root).cloudfront

    def said() -> str:
        with build_opener(ProxyHandler({})).open(
            f"{endpoints['site']}/contact", timeout=10
        ) as answer:
            return str(answer.headers["X-Cache"])

    assert [said(), said()] == ["Miss from cloudfront", "Hit from cloudfront"]
    distribution = cloudfront.list_distributions()["DistributionList"]["Items"][0]["Id"]
    batch = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": "test"}
    made = cloudfront.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)[
        "Invalidation"
    ]
    assert (made["Status"], said()) == ("InProgress", "Hit from cloudfront")
    until(
        lambda: (
            cloudfront.get_invalidation(DistributionId=distribution, Id=made["Id"])["Invalidation"][
                "Status"
            ]
            == "Completed"
        )
    )
    assert [said(), said()] == ["Miss from cloudfront", "Hit from cloudfront"]


def test_a_second_sandbox_runs_beside_it(root: Path, tmp_path: Path) -> None:
    """Started through a pipe, without HOME, with a strict umask: `up` returns and both sites
    answer. Deleted by hand, it ends itself.
    """
    other = tmp_path / ".sandbox"
    program = " ".join(shlex.quote(word) for word in (sys.executable, "-c", UP, str(other)))
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    try:
        piped = ["sh", "-c", f"umask 077; {program} | cat"]
        done = subprocess.run(
            piped, env=clean, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.stdout.endswith("returned\n"), done.stderr
        one, two = lifecycle.status(root), lifecycle.status(other)
        assert one.ports is not None
        assert two.ports is not None
        assert one.ports.network != two.ports.network
        assert not set(one.endpoints().values()) & set(two.endpoints().values()) - {None}
        assert get(other, "/api/health")["version"] != get(root, "/api/health")["version"]
        data, pids = database(other), [pid for kind in processes(other).values() for pid in kind]
        assert len(pids) == 6
        while other.exists():  # the sandbox may write on while it is deleted
            shutil.rmtree(other, ignore_errors=True)
        until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
        assert not data.exists()
    finally:
        lifecycle.down(other, purge=True)
    assert not other.exists()
    assert get(root, "/api/health")["status"] == "ok"


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    """A file where a folder is needed: one error with the reason and what to do next, and no
    process is left.
    """
    blocked = tmp_path / ".sandbox"
    blocked.mkdir()
    (blocked / "images").write_text("in the way")
    with pytest.raises(OpsError, match=r"images") as failed:
        lifecycle.up(blocked)
    assert failed.value.next
    assert processes(blocked) == {"supervisor": [], "postgres": [], "tasks": []}
    assert lifecycle.status(blocked).ready is False
    lifecycle.down(blocked, purge=True)


def test_a_registry_of_ones_own_wants_a_real_engine(tmp_path: Path) -> None:
    """Nothing is started, and the next line can be typed."""
    with pytest.raises(ConfigError, match="with engine process") as failed:
        lifecycle.up(tmp_path / ".sandbox", registry="127.0.0.1:5000")
    assert failed.value.next == "inv sandbox.up --engine docker --registry 127.0.0.1:5000"
    assert lifecycle.status(tmp_path / ".sandbox").state == "down"


def test_down_leaves_no_process_and_can_be_said_twice(root: Path) -> None:
    """After `down` nothing of the sandbox runs, its overlay is gone, and a second `down` is no
    error. (The last test: it ends it.)
    """
    pids = [pid for kind in processes(root).values() for pid in kind]
    assert len(pids) == 6
    lifecycle.down(root)
    assert processes(root) == {"supervisor": [], "postgres": [], "tasks": []}
    assert not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in pids
    )
    assert not (root / "environment.yaml").exists()
    assert lifecycle.status(root).as_document()["ready"] is False
    said: list[str] = []
    lifecycle.down(root, say=said.append)
    assert said == ["the sandbox was already down"]
