"""Each fault of the sandbox's world turns the right check red, with its cause; mended, all is green
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch

import pytest

from tests.checkout import Checkout
from tests.health.sweeps import GROUPS, break_it, causes, ill, look, roots, until_well

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def mended(platform: Checkout) -> Iterator[None]:
    """Whatever a test broke is mended after it."""
    yield
    platform.inv("sandbox.mend", "--all")


@pytest.mark.parametrize(
    ("fault", "cause", "groups", "root"),
    [
        (
            "database-stopped",
            "database_stopped",
            {"db", "targets", "endpoints", "logs", "ecs"},
            "db · instance",
        ),
        (
            "database-password",
            "database_password_rejected",
            {"db", "targets", "endpoints", "logs", "ecs"},
            "db · connection",
        ),
        ("schema-behind", "schema_behind_release", {"db"}, "db · schema"),
        ("tasks-crash", "container_exited", {"ecs", "logs"}, "ecs · backend deployment"),
        ("secret-missing", "secret_missing", {"ecs", "logs"}, "ecs · backend deployment"),
        ("out-of-memory", "out_of_memory", {"ecs", "logs"}, "ecs · backend deployment"),
        (
            "tasks-unhealthy",
            "target_unhealthy",
            {"targets", "ecs", "endpoints", "logs"},
            "targets · backend dev-backend-tg",
        ),
        (
            "target-port",
            "target_port",
            {"targets", "ecs", "endpoints", "logs"},
            "targets · backend dev-backend-tg",
        ),
        (
            "security-group",
            "security_group_closed",
            {"targets", "ecs", "endpoints", "logs"},
            "targets · backend dev-backend-tg",
        ),
        ("redirect-loop", "redirect_loop", {"endpoints", "cdn"}, "endpoints · GET * via alb"),
        (
            "certificate-other-host",
            "certificate_wrong_host",
            {"certificates"},
            "certificates · 127.0.0.1 handshake",
        ),
        (
            "wrong-account",
            "wrong_account",
            GROUPS - {"endpoints", "certificates"},
            "account · account",
        ),
        ("permission-denied", "denied", {"targets"}, "targets · * dev-*-tg"),
    ],
)
def test_a_fault_turns_the_right_check_red(
    platform: Checkout, fault: str, cause: str, groups: set[str], root: str
) -> None:
    """One fault, one cause; what follows from it says so, unrelated groups stay green, and mending
    turns all of it back.
    """
    break_it(platform, fault)
    found = look(platform)
    assert causes(found) == {cause}, found["findings"]
    assert {label.split(" ")[0] for label in ill(found)} <= groups
    assert roots(found) == {label: cause for label in ill(found) if fnmatch(label, root)} != {}
    assert platform.inv("sandbox.mend", fault).returncode == 0
    until_well(platform)


@pytest.mark.parametrize(
    ("faults", "groups"),
    [
        (
            {
                "image-missing": ("ecs · backend deployment", "image_missing"),
                "certificate-early": (
                    "certificates · 127.0.0.1 certificate",
                    "certificate_not_yet_valid",
                ),
            },
            {"ecs", "certificates", "logs"},
        ),
        (
            {
                "wrong-architecture": ("ecs · frontend deployment", "image_platform"),
                "database-connections": ("db · connections", "connections_exhausted"),
                "certificate-self-signed": (
                    "certificates · 127.0.0.1 handshake",
                    "certificate_untrusted",
                ),
            },
            {
                "ecs",
                "certificates",
                "db",
                "logs",
                "targets",
                "endpoints",
            },  # what gets none of the connections that are left is ill too
        ),
    ],
)
def test_faults_in_places_of_their_own(
    platform: Checkout, faults: dict[str, tuple[str, str]], groups: set[str]
) -> None:
    """Faults that have nothing to do with each other: each has its own check, with its own cause,
    and explains nothing of the others.
    """
    until_well(platform)
    break_it(platform, *faults)
    found = look(platform)
    assert roots(found) == dict(faults.values()), found["findings"]
    assert {label.split(" ")[0] for label in ill(found)} <= groups
    assert platform.inv("sandbox.mend", "--all").returncode == 0
    until_well(platform)
