"""`inv health.*` on the sandbox: green when all is well, the right check red for each fault of the world, and what changed since."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Checkout
from tests.flows import deploying as world

pytestmark = pytest.mark.timeout(240)
GROUPS = {"account", "db", "ecs", "targets", "endpoints", "cdn", "certificates", "logs", "terraform"}
WELL_WITHIN = 45.0      # errors of a while ago still count in the logs


@pytest.fixture(autouse=True)
def mended(platform: Checkout) -> Iterator[None]:
    """Whatever a test broke is mended after it."""
    yield
    platform.inv("sandbox.mend", "--all")


def look(platform: Checkout, *words: str) -> dict[str, Any]:
    done = platform.inv("health.all", "--json", *words)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["healthy"] else 1), done.stderr
    return found


def ill(found: dict[str, Any]) -> dict[str, str]:
    """Label → status of what failed or is unknown."""
    return {f"{each['group']} · {each['name']}": each["status"] for each in found["checks"] if each["status"] in ("failed", "unknown")}


def causes(found: dict[str, Any]) -> set[str]:
    return {each["cause"] for each in found["findings"]}


def until_well(platform: Checkout) -> dict[str, Any]:
    end = time.monotonic() + WELL_WITHIN
    while True:
        found = look(platform)
        if found["healthy"]:
            return found
        assert time.monotonic() < end, ill(found)
        time.sleep(1)


def break_it(platform: Checkout, *faults: str) -> None:
    for fault in faults:
        done = platform.inv("sandbox.break", fault)
        assert done.returncode == 0, done.stderr


def test_all_green_and_nothing_changes(platform: Checkout) -> None:
    """Every group answers; run after run, no change is reported; --save and --against make the same comparison."""
    first = until_well(platform)
    assert {check["group"] for check in first["checks"]} == GROUPS
    for _ in range(4):
        again = look(platform)
        assert again["healthy"] and again["changes"] == [] and again["against"]
    saved = platform.root / "before.json"
    assert look(platform, "--save", str(saved))["healthy"]
    assert look(platform, "--against", str(saved))["against"] == json.loads(saved.read_text())["at"]
    text = platform.inv("health.all").stdout
    assert "no changes" in text and "look at them: http" in text and "healthy: sandbox:" in text


def test_many_faults_at_once_each_in_its_place(platform: Checkout) -> None:
    """Seven faults that have nothing to do with each other: seven causes, and every other group stays green; mended, all is well."""
    until_well(platform)
    break_it(platform, "page-500", "page-slow", "json-as-html", "stale-cdn", "certificate-expired", "state-lock", "log-errors")
    found = look(platform)
    assert causes(found) == {
        "page_failing", "page_slow", "wrong_content_type", "stale_cache", "certificate_expired", "state_locked", "log_errors",
    }  # fmt: skip
    assert {check["group"] for check in found["checks"] if check["status"] == "ok"} >= {"account", "db", "ecs", "targets"}
    assert not [label for label in ill(found) if label.split(" ")[0] in ("account", "db", "ecs", "targets")]
    explained = {check["name"]: check["explained_by"] for check in found["checks"] if check["status"] == "failed"}
    assert explained["GET /about via cdn"] == "endpoints · GET /about via alb"      # the CDN only hands on what is wrong behind it
    assert explained["GET /api/projects via cdn"] == ""                             # and here it is the CDN itself
    assert explained["127.0.0.1 handshake"] == "certificates · 127.0.0.1 certificate"
    changed = {change["name"]: (change["before"], change["after"]) for change in found["changes"]}
    assert changed["/about"] == ("200", "500 page_failing")
    assert platform.inv("sandbox.mend", "--all").returncode == 0
    assert until_well(platform)["healthy"]


@pytest.mark.parametrize(
    ("fault", "cause", "groups", "root"),
    [
        ("database-stopped", "database_stopped", {"db", "targets", "endpoints", "logs", "ecs"}, "db · instance"),
        ("database-password", "database_password_rejected", {"db", "targets", "endpoints", "logs", "ecs"}, "db · connection"),
        ("schema-behind", "schema_behind_release", {"db"}, "db · schema"),
        ("tasks-crash", "container_exited", {"ecs", "logs"}, "ecs · backend deployment"),
        ("tasks-unhealthy", "target_unhealthy", {"targets", "ecs", "endpoints", "logs"}, "targets · backend dev-backend-tg"),
        ("target-port", "target_port", {"targets", "ecs", "endpoints", "logs"}, "targets · backend dev-backend-tg"),
        ("security-group", "security_group_closed", {"targets", "ecs", "endpoints", "logs"}, "targets · backend dev-backend-tg"),
        ("redirect-loop", "redirect_loop", {"endpoints", "cdn"}, "endpoints · GET /about via alb"),
        ("certificate-other-host", "certificate_wrong_host", {"certificates"}, "certificates · 127.0.0.1 handshake"),
        ("wrong-account", "wrong_account", GROUPS - {"endpoints", "certificates"}, "account · account"),
        ("permission-denied", "denied", {"targets"}, "targets · backend dev-backend-tg"),
    ],
)
def test_a_fault_turns_the_right_check_red(platform: Checkout, fault: str, cause: str, groups: set[str], root: str) -> None:
    """One fault, one cause; what follows from it says so, unrelated groups stay green, and mending turns all of it back."""
    break_it(platform, fault)
    found = look(platform)
    assert causes(found) == {cause}, found["findings"]
    assert root in ill(found) and {label.split(" ")[0] for label in ill(found)} <= groups
    roots = {f"{each['group']} · {each['name']}" for each in found["checks"] if each["status"] == "failed" and not each["explained_by"]}
    assert roots <= {root} | set(ill(found))
    assert platform.inv("sandbox.mend", fault).returncode == 0
    until_well(platform)


def test_a_page_that_hangs_is_bounded(platform: Checkout) -> None:
    """health.timeout is the longest that a page is waited for, and it is named; the rest has answered meanwhile."""
    file = platform.root / "invoke.yaml"
    values = yaml.safe_load(file.read_text())
    before = file.read_text()
    values["environments"]["sandbox"]["health"]["timeout"] = "3s"
    file.write_text(yaml.safe_dump(values))
    try:
        break_it(platform, "page-hangs")
        found = look(platform)
    finally:
        file.write_text(before)
    assert causes(found) == {"page_hangs"} and 3 <= found["took_s"] < 8
    assert ill(found).keys() == {"endpoints · GET /contact via cdn", "endpoints · GET /contact via alb", "cdn · cache /contact"}


def test_only_and_skip(platform: Checkout) -> None:
    """--only looks at nothing else; --skip leaves out a group or a single check, which is said; other names are refused by name."""
    some = look(platform, "--only", "targets,ecs")
    assert {check["group"] for check in some["checks"]} == {"account", "targets", "ecs"}
    break_it(platform, "page-500")
    assert not look(platform, "--only", "endpoints")["healthy"]
    found = look(platform, "--only", "endpoints", "--skip", "GET /about via cdn", "--skip", "GET /about via alb")
    assert found["healthy"] and sum(check["status"] == "skipped" for check in found["checks"]) == 2
    without = look(platform, "--skip", "endpoints,cdn,logs")
    assert without["healthy"] and ("endpoints", "skipped") in {(check["group"], check["status"]) for check in without["checks"]}
    for option, name in (("--only", "pages"), ("--skip", "nothing"), ("--against", "/no")):
        done = platform.inv("health.targets" if option == "--skip" else "health.all", option, name)
        assert done.returncode == 2 and f"{option} {name}" in done.stderr and "next:" in done.stderr


def test_a_group_by_itself(platform: Checkout) -> None:
    """Each group is a task too, with its account where AWS is asked."""
    found = platform.document("health.certificates")
    assert {check["group"] for check in found["checks"]} == {"certificates"}
    found = platform.document("health.logs", "--since", "10m")
    assert all("in the last 10m" in check["detail"] for check in found["checks"] if check["group"] == "logs")


def test_a_group_with_nothing_in_it_is_never_green(platform: Checkout, tmp_path: Path) -> None:
    """An environment without a database or an https address: unknown, exit 1, and what to type."""
    more = tmp_path / "more.yaml"
    values = yaml.safe_load((platform.root / "invoke.yaml").read_text())["environments"]["sandbox"]
    bare = {**values, "database": None, "terraform": None, "overlay": str(tmp_path / "overlay.yaml")}
    overlay = yaml.safe_load((platform.root / ".sandbox" / "environment.yaml").read_text())
    del overlay["site_tls"]
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    more.write_text(yaml.safe_dump({"env": "bare", "environments": {"bare": bare}}))
    done = platform.inv("-f", str(more), "health.all", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and ill(found) == {f"{name} · {name}": "unknown" for name in ("db", "certificates", "terraform")}
    assert all("--skip" in check["detail"] for check in found["checks"] if check["status"] == "unknown")


def test_watch_marks_what_changes(platform: Checkout) -> None:
    """Plain lines without a terminal: everything once, then what changed, until Ctrl-C."""
    command = [sys.executable, "-m", "invoke", "--search-root", str(platform.root), "health.endpoints", "--watch", "1"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    with subprocess.Popen(
        command, cwd=platform.root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as watching:
        try:
            assert watching.stdout
            assert any(line.startswith("healthy: sandbox:") for line in watching.stdout)
            break_it(platform, "page-500")
            assert any("/about 200 → 500 page_failing" in line for line in watching.stdout)
        finally:
            watching.send_signal(signal.SIGINT)
            watching.communicate(timeout=20)
    assert watching.returncode == 130


def test_a_deploy_tells_what_it_changed(platform: Checkout) -> None:
    """Before and after are in its document and its record; what was ill before is not blamed on it."""
    until_well(platform)
    break_it(platform, "state-lock")
    tag = world.commit(platform, {"frontend/NOTE": "health"}, "Something to release")
    done = platform.document("frontend.deploy")
    assert done["verdict"] == "succeeded" and done["tag"] == tag
    assert not done["health"]["before"]["healthy"] and ill(done["health"]["before"]).keys() == {"terraform · state lock"}
    assert ill(done["health"]["after"]).keys() == {"terraform · state lock"}
    changed = {change["name"]: change["after"] for change in done["health"]["changes"]}
    assert changed["ecs · frontend image"].startswith(tag) and "terraform · state lock" not in changed
    platform.inv("sandbox.mend", "--all")
    since = look(platform, "--against", "last-release")
    assert [change["name"] for change in since["changes"]] == ["terraform · state lock"]
