"""`inv health.*` on the sandbox: green when all is well, the right check red for each fault of the
world, and what changed since.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.factories import inv_command
from tests.health.sweeps import GROUPS, break_it, causes, ill, look, until_well

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def mended(platform: Checkout) -> Iterator[None]:
    """Whatever a test broke is mended after it."""
    yield
    platform.inv("sandbox.mend", "--all")


def test_all_green_and_nothing_changes(platform: Checkout) -> None:
    """Every group answers; run after run, no change is reported; --save and --baseline make the
    same comparison.
    """
    first = until_well(platform)
    assert {check["group"] for check in first["checks"]} == GROUPS
    again = look(platform)
    assert again["healthy"] and again["changes"] == [] and again["against"]
    saved = platform.root / "before.json"
    assert look(platform, "--save", str(saved))["healthy"]
    assert (
        look(platform, "--baseline", str(saved))["against"] == json.loads(saved.read_text())["at"]
    )
    text = platform.inv("health.all").stdout
    assert (
        "no changes" in text and "check in a browser: http" in text and "healthy  sandbox:" in text
    )


def test_twenty_unchanged_sweeps_show_no_change(platform: Checkout, tmp_path: Path) -> None:
    """`--watch --json` is a document a sweep, a line each; where nothing happens, none of twenty
    tells of a change.

    Times are left out: how quick a test's machine is does change.
    """
    until_well(platform)
    patient = tmp_path / "patient.yaml"
    patient.write_text(
        yaml.safe_dump(
            {"environments": {"sandbox": {"health": {"slower": 10_000.0, "slow": "30s"}}}}
        )
    )
    with world.start(
        platform, "-f", str(patient), "health.all", "--watch", "1", "--json"
    ) as watching:
        assert watching.stdout
        found = [json.loads(line) for line in itertools.islice(watching.stdout, 20)]
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)
    assert watching.returncode == 0 and len(found) == 20
    assert [each["changes"] for each in found if each["changes"]] == []
    assert all(
        each["healthy"] and {check["group"] for check in each["checks"]} == GROUPS for each in found
    )
    assert len({each["at"] for each in found}) == 20


def test_many_faults_at_once_each_in_its_place(platform: Checkout) -> None:
    """Seven faults that have nothing to do with each other: seven causes, and every other group
    stays green; mended, all is well.
    """
    until_well(platform)
    break_it(
        platform,
        "page-500",
        "page-slow",
        "json-as-html",
        "stale-cdn",
        "certificate-expired",
        "state-lock",
        "log-errors",
    )
    found = look(platform)
    assert causes(found) == {
        "page_failing",
        "page_slow",
        "wrong_content_type",
        "stale_cache",
        "certificate_expired",
        "state_locked",
        "log_errors",
    }
    assert {check["group"] for check in found["checks"] if check["status"] == "ok"} >= {
        "account",
        "db",
        "ecs",
        "targets",
    }
    assert not [
        label for label in ill(found) if label.split(" ")[0] in ("account", "db", "ecs", "targets")
    ]
    explained = {
        check["name"]: check["explained_by"]
        for check in found["checks"]
        if check["status"] == "failed"
    }
    assert (
        explained["GET /about via cdn"] == "endpoints · GET /about via alb"
    )  # the CDN only hands on what is wrong behind it
    assert explained["GET /api/projects via cdn"] == ""  # and here it is the CDN itself
    assert explained["127.0.0.1 handshake"] == "certificates · 127.0.0.1 certificate"
    changed = {change["name"]: (change["before"], change["after"]) for change in found["changes"]}
    assert changed["/about"] == ("200", "500 page_failing")
    assert platform.inv("sandbox.mend", "--all").returncode == 0
    assert until_well(platform)["healthy"]


def test_a_page_that_hangs_is_bounded(platform: Checkout) -> None:
    """health.timeout is the longest that a page is waited for, and it is named; the rest has
    answered meanwhile.
    """
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
    assert ill(found).keys() == {
        "endpoints · GET /contact via cdn",
        "endpoints · GET /contact via alb",
        "cdn · cache /contact",
    }


def test_only_and_skip(platform: Checkout) -> None:
    """--only looks at nothing else; --skip leaves out a group or a single check, which is said;
    other names are refused by name.
    """
    some = look(platform, "--only", "targets,ecs")
    assert {check["group"] for check in some["checks"]} == {"account", "targets", "ecs"}
    break_it(platform, "page-500")
    assert not look(platform, "--only", "endpoints")["healthy"]
    found = look(
        platform,
        "--only",
        "endpoints",
        "--skip",
        "GET /about via cdn",
        "--skip",
        "GET /about via alb",
    )
    assert found["healthy"] and sum(check["status"] == "skipped" for check in found["checks"]) == 2
    without = look(platform, "--skip", "endpoints,cdn,logs")
    assert without["healthy"] and ("endpoints", "skipped") in {
        (check["group"], check["status"]) for check in without["checks"]
    }
    for option, name in (("--only", "pages"), ("--skip", "nothing"), ("--baseline", "/no")):
        done = platform.inv("health.targets" if option == "--skip" else "health.all", option, name)
        assert done.returncode == 2 and f"{option} {name}" in done.stderr and "next:" in done.stderr


def test_a_group_by_itself(platform: Checkout) -> None:
    """Each group is a task too, with its account where AWS is asked; one line may ask for
    several.
    """
    until_well(platform)
    groups = sorted(GROUPS - {"account"})
    done = platform.inv(*(word for group in groups for word in (f"health.{group}", "--json")))
    assert done.returncode == 0, done.stdout + done.stderr
    for group, line in zip(groups, done.stdout.splitlines(), strict=True):
        found = json.loads(line)
        assert found["healthy"] and found["environment"] == "sandbox"
        assert {check["group"] for check in found["checks"]} - {"account"} == {group}
        assert ("account" in {check["group"] for check in found["checks"]}) == (
            group not in ("endpoints", "certificates")
        )
    found = platform.document("health.logs", "--since", "10m")
    assert all(
        "in the last 10m" in check["detail"]
        for check in found["checks"]
        if check["group"] == "logs"
    )


def test_a_group_with_nothing_in_it_is_never_green(platform: Checkout, tmp_path: Path) -> None:
    """An environment without a database or an https address: unknown, exit 1, and what to type."""
    more = tmp_path / "more.yaml"
    values = yaml.safe_load((platform.root / "invoke.yaml").read_text())["environments"]["sandbox"]
    bare = {
        **values,
        "database": None,
        "terraform": None,
        "overlay": str(tmp_path / "overlay.yaml"),
    }
    overlay = yaml.safe_load((platform.root / ".sandbox" / "environment.yaml").read_text())
    del overlay["site_tls"]
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    more.write_text(yaml.safe_dump({"env": "bare", "environments": {"bare": bare}}))
    done = platform.inv("-f", str(more), "health.all", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and ill(found) == {
        f"{name} · {name}": "unknown" for name in ("db", "certificates", "terraform")
    }
    assert all(
        "--skip" in check["detail"] for check in found["checks"] if check["status"] == "unknown"
    )


def test_watch_marks_what_changes(platform: Checkout) -> None:
    """Plain lines without a terminal: everything once, then what changed, until Ctrl-C."""
    command = inv_command(platform.root, "health.endpoints", "--watch", "1")
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    with subprocess.Popen(
        command,
        cwd=platform.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as watching:
        try:
            assert watching.stdout
            assert any(line.startswith("healthy  sandbox:") for line in watching.stdout)
            break_it(platform, "page-500")
            assert any("/about 200 → 500 page_failing" in line for line in watching.stdout)
        finally:
            watching.send_signal(signal.SIGINT)
            watching.communicate(timeout=20)
    assert watching.returncode == 0


def test_a_deploy_tells_what_it_changed(platform: Checkout) -> None:
    """Before and after are in its document and its record; what was ill before is not blamed on
    it.
    """
    until_well(platform)
    break_it(platform, "state-lock")
    tag = world.commit(platform, {"frontend/NOTE": "health"}, "Something to release")
    done = platform.document("frontend.deploy")
    assert done["verdict"] == "succeeded" and done["tag"] == tag
    assert not done["health"]["before"]["healthy"] and ill(done["health"]["before"]).keys() == {
        "terraform · state lock"
    }
    assert ill(done["health"]["after"]).keys() == {"terraform · state lock"}
    changed = {change["name"]: change["after"] for change in done["health"]["changes"]}
    assert (
        changed["ecs · frontend image"].startswith(tag) and "terraform · state lock" not in changed
    )
    platform.inv("sandbox.mend", "--all")
    since = look(platform, "--baseline", "last-release")
    assert [change["name"] for change in since["changes"]] == ["terraform · state lock"]
