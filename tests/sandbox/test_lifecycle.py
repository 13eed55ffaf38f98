"""The way up and down, as a user meets it: one real sandbox, hurt in every way, and a second one beside it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import docker
import psutil
import pytest
import yaml

from ops.errors import OpsError, Refused
from ops.sandbox import lifecycle, seed, status
from ops.sandbox.contracts import Paths
from ops.sandbox.sample import Commit, git
from ops.sandbox.seed.names import BACKEND

PROJECT = Path(__file__).parents[2]
UP = """
import sys
from pathlib import Path
from ops.sandbox import lifecycle
lifecycle.up(Path(sys.argv[1]), say=print)
print("returned")
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("a checkout with spaces") / ".sandbox"
    lifecycle.up(folder)
    yield folder
    lifecycle.down(folder, purge=True)


def get(root: Path, path: str) -> Any:
    """The document at `path` of the site; raises as urllib does."""
    site = lifecycle.status(root).endpoints()["site"]
    with build_opener(ProxyHandler({})).open(f"{site}{path}", timeout=10) as answer:
        return json.load(answer)


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if found := condition():
                return found
        except (URLError, OSError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def processes(root: Path) -> dict[str, list[int]]:
    """Living processes of the sandbox: its supervisor, its PostgreSQL, its tasks (those that run below its folder or were written down)."""
    found: dict[str, list[int]] = {"supervisor": [], "postgres": [], "tasks": []}
    written = {json.loads(file.read_text())["pid"] for file in (root / "tasks").glob("*/pid-*.json")} if root.exists() else set()
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] == psutil.STATUS_ZOMBIE or not command:
            continue
        if str(root) in command and status.MODULE in command:
            found["supervisor"].append(process.pid)
        elif "-D" in command and str(database(root)) in command:
            found["postgres"].append(process.pid)
        elif process.pid in written:
            found["tasks"].append(process.pid)
    return found


def database(root: Path) -> Path:
    from ops.sandbox.database.cluster import located

    return located(Paths(root))


def healthy(root: Path, group: str) -> int:
    clients = seed.Clients(str(lifecycle.status(root).endpoints()["aws"]))
    arn = clients.elb.describe_target_groups(Names=[group])["TargetGroups"][0]["TargetGroupArn"]
    states = clients.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return sum(each["TargetHealth"]["State"] == "healthy" for each in states)


def test_ready_means_that_version_1_answers(root: Path) -> None:
    """After `up` the site's health names the tag of version 1, the table is read, and the status carries every endpoint."""
    document = lifecycle.status(root).as_document()
    first = git(root / "platform", "rev-parse", "--short", "main~1")
    assert document["ready"] is True
    assert document["source"] == str(root / "platform")
    assert set(document["endpoints"]) >= {"aws", "site", "registry", "docker", "bastion", "database"}
    assert document["endpoints"]["bastion"] is None
    assert {**get(root, "/api/health"), "timestamp": ""} == {"status": "ok", "timestamp": "", "database": "connected", "version": first}
    assert get(root, "/health")["version"] == first
    assert [project["title"] for project in get(root, "/api/projects")] == ["DavidShaevel.com Platform"]


def test_the_overlay_is_what_the_settings_take(root: Path) -> None:
    """The overlay holds addresses and dummy keys, is readable by its owner alone, and its secret's database is the one that answers."""
    overlay = root / "environment.yaml"
    values = yaml.safe_load(overlay.read_text())
    assert stat.S_IMODE(overlay.stat().st_mode) == 0o600
    assert set(values) == {"aws", "engine", "site", "alb", "source", "database"}
    secret = seed.Clients(values["aws"]["endpoint"]).secrets.get_secret_value(SecretId="dev-davidshaevel-db-credentials")["SecretString"]
    assert {key: json.loads(secret)[key] for key in ("host", "port", "dbname")} == {
        "host": "127.0.0.1", "port": str(values["database"]["port"]), "dbname": "davidshaevel",
    }
    assert docker.DockerClient(base_url=values["engine"]).ping()


def test_a_second_up_changes_nothing(root: Path) -> None:
    """The same supervisor goes on, and it says so; another engine is refused while it runs."""
    before, said = lifecycle.status(root).pid, []
    assert lifecycle.up(root, say=said.append).pid == before
    assert said == [f"the sandbox is up already (pid {before})"]
    with pytest.raises(Refused, match="engine process"):
        lifecycle.up(root, engine="docker")


def test_a_killed_postgres_comes_back_by_itself(root: Path) -> None:
    """kill -9 of PostgreSQL: the supervisor starts it again and the backend is healthy, without an `up`."""
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
    until(lambda: len(set(processes(root)["tasks"]) - {victim}) == 4 and victim not in processes(root)["tasks"])
    until(lambda: healthy(root, "dev-backend-tg") == healthy(root, "dev-frontend-tg") == 2)


def test_a_killed_supervisor_is_healed_with_what_was_deployed(root: Path) -> None:
    """Deploy the second commit, kill -9 the supervisor: the next `up` ends the orphans and comes back on the deployed image and ports."""
    paths, before = Paths(root), lifecycle.status(root)
    commit = Commit(*git(paths.platform, "log", "-1", "--format=%H %h %cI").split())
    deploy(paths, commit)
    until(lambda: get(root, "/api/health").get("service") == "backend" and memory(root) == f"davidshaevel/backend:{commit.short}")
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
    assert not {pid for pids in now.values() for pid in pids} & {pid for pids in old.values() for pid in pids}
    assert get(root, "/api/health")["version"] == commit.short
    assert any("made anew" in line and commit.short in line for line in said)


def deploy(paths: Paths, commit: Commit) -> None:
    """Build, push and roll the backend out as an operator would."""
    endpoints = lifecycle.status(paths.root).endpoints()
    clients = seed.Clients(str(endpoints["aws"]))
    image = f"{endpoints['registry']}/{BACKEND.repository}:{commit.short}"
    seed.build_and_push(docker.DockerClient(base_url=endpoints["docker"]), clients, paths, BACKEND, image, commit)
    secret = clients.secrets.describe_secret(SecretId="dev-davidshaevel-db-credentials")["ARN"]
    clients.ecs.update_service(
        cluster=seed.CLUSTER, service=BACKEND.service, taskDefinition=seed.register(clients, BACKEND, image, secret),
    )


def memory(root: Path) -> str | None:
    """The image that the next world would start the backend on."""
    found = json.loads((root / "services.json").read_text())
    return found.get("backend") if isinstance(found, dict) else None


def test_a_second_sandbox_runs_beside_it(root: Path, tmp_path: Path) -> None:
    """Started through a pipe, without HOME, with a strict umask: `up` returns and both sites answer. Deleted by hand, it ends itself."""
    other = tmp_path / ".sandbox"
    program = " ".join(shlex.quote(word) for word in (sys.executable, "-c", UP, str(other)))
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)}
    try:
        piped = ["sh", "-c", f"umask 077; {program} | cat"]
        done = subprocess.run(piped, env=clean, capture_output=True, text=True, timeout=90, check=False)
        assert done.stdout.endswith("returned\n"), done.stderr
        one, two = lifecycle.status(root), lifecycle.status(other)
        assert one.ports is not None
        assert two.ports is not None
        assert one.ports.network != two.ports.network
        assert not set(one.endpoints().values()) & set(two.endpoints().values()) - {None}
        assert get(other, "/api/health")["version"] != get(root, "/api/health")["version"]
        data, pids = database(other), [pid for kind in processes(other).values() for pid in kind]
        assert len(pids) == 6
        shutil.rmtree(other)
        until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
        assert not data.exists()
    finally:
        lifecycle.down(other, purge=True)
    assert not other.exists()
    assert get(root, "/api/health")["status"] == "ok"


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    """A file where a folder is needed: one error with the reason and what to do next, and no process is left."""
    blocked = tmp_path / ".sandbox"
    blocked.mkdir()
    (blocked / "images").write_text("in the way")
    with pytest.raises(OpsError, match=r"images") as failed:
        lifecycle.up(blocked)
    assert failed.value.next
    assert processes(blocked) == {"supervisor": [], "postgres": [], "tasks": []}
    assert lifecycle.status(blocked).ready is False
    lifecycle.down(blocked, purge=True)


def test_down_leaves_no_process_and_can_be_said_twice(root: Path) -> None:
    """After `down` nothing of the sandbox runs, its overlay is gone, and a second `down` is no error. (The last test: it ends it.)"""
    pids = [pid for kind in processes(root).values() for pid in kind]
    assert len(pids) == 6
    lifecycle.down(root)
    assert processes(root) == {"supervisor": [], "postgres": [], "tasks": []}
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)
    assert not (root / "environment.yaml").exists()
    assert lifecycle.status(root).as_document()["ready"] is False
    said: list[str] = []
    lifecycle.down(root, say=said.append)
    assert said == ["the sandbox was down already"]
