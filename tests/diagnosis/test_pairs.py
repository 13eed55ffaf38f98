"""Two faults at once: both causes are root causes, unless one hides the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checkout import Checkout
from tests.diagnosis.looking import look, until_first
from tests.waiting import until

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def mended(platform: Checkout) -> Iterator[None]:
    """Whatever a test broke is mended after it."""
    yield
    platform.inv("sandbox.mend", "--all")


@pytest.mark.parametrize(
    ("faults", "causes"),
    [
        (("database-stopped", "certificate-expired"), {"database_stopped", "certificate_expired"}),
        (("image-missing", "json-as-html"), {"image_missing", "wrong_content_type"}),
        (("role-pull", "state-lock"), {"role_permission_missing", "state_lock_stale"}),
        (("page-500", "schema-behind"), {"page_failing", "schema_behind_release"}),
        (("no-nat-route", "json-as-html"), {"no_route", "wrong_content_type"}),
    ],
)
def test_two_faults_have_two_causes(
    platform: Checkout, faults: tuple[str, str], causes: set[str]
) -> None:
    for fault in faults:
        assert platform.inv("sandbox.break", fault).returncode == 0
    until(lambda: causes <= roots(platform), 40)


def roots(platform: Checkout) -> set[str]:
    return {each["cause"] for each in look(platform)["findings"] if not each["explained_by"]}


def test_another_account_hides_what_is_wrong_in_ours(platform: Checkout) -> None:
    """With foreign credentials nothing of AWS is known; the account is the root of all of it."""
    for fault in ("image-missing", "wrong-account"):
        assert platform.inv("sandbox.break", fault).returncode == 0
    first, *others = until_first(platform, "wrong_account")["findings"]
    assert not first["explained_by"]
    assert all(each["explained_by"] == "wrong_account" for each in others), others
