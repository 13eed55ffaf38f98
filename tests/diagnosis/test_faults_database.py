"""Faults of the database, of locks and of access: `troubleshoot.all` names each one first."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ops.sandbox.faults import catalog
from ops.sandbox.faults.operator.catalog import FAULTS as OPERATOR
from ops.sandbox.faults.postgres.catalog import FAULTS as POSTGRES
from tests.checkout import Checkout
from tests.diagnosis.looking import until_first, until_nothing

pytestmark = pytest.mark.timeout(300)

NAMES = (
    *(fault.name for fault in (*POSTGRES, *OPERATOR)),
    "database-stopped",
    "database-connections",
    "schema-behind",
    "state-lock",
    "wrong-account",
)


@pytest.fixture(autouse=True)
def mended(platform: Checkout) -> Iterator[None]:
    """Whatever a test broke is mended after it."""
    yield
    platform.inv("sandbox.mend", "--all")


@pytest.mark.parametrize("name", NAMES)
def test_the_cause_comes_first_and_is_gone_when_mended(platform: Checkout, name: str) -> None:
    fault = catalog.find(name)
    broken = platform.inv("sandbox.break", name)
    if "has no TLS" in broken.stderr:
        assert "postgres" not in os.environ.get("OPS_REQUIRE_REAL", ""), broken.stderr
        pytest.skip("this machine's PostgreSQL has no TLS")
    assert broken.returncode == 0, broken.stderr
    first = until_first(platform, fault.diagnosis or fault.cause)["findings"][0]
    assert first["evidence"] and first["fix"] and first["because"]
    platform.inv("sandbox.mend", name)
    until_nothing(platform)


def test_a_fault_of_the_database_beside_another_is_found_too(platform: Checkout) -> None:
    """The lock of a dead process does not hide who blocks the pages, nor the other way round."""
    for name in ("state-lock-dead", "database-transaction"):
        assert platform.inv("sandbox.break", name).returncode == 0
    found = until_first(platform, "state_lock_dead_process")["findings"]
    roots = [each["cause"] for each in found if not each["explained_by"]]
    assert roots == ["state_lock_dead_process", "transaction_blocks"]


def test_what_aws_refuses_is_reported_once(platform: Checkout) -> None:
    assert platform.inv("sandbox.break", "credentials-expired").returncode == 0
    text = platform.inv("troubleshoot.all").stdout
    assert text.count("ExpiredToken") == 1, text
    assert sum(line.startswith("unknown") for line in text.splitlines()) == 1
