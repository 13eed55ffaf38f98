"""Two faults at once: both causes are root causes, unless one hides the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checkout import Checkout
from tests.diagnosis.test_troubleshoot import troubleshoot

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
        (("no-nat-route", "stale-cdn"), {"no_route", "release_not_invalidated"}),
    ],
)
def test_two_faults_have_two_causes(
    platform: Checkout, faults: tuple[str, str], causes: set[str]
) -> None:
    for fault in faults:
        assert platform.inv("sandbox.break", fault).returncode == 0
    found = troubleshoot(platform)["findings"]
    roots = {each["cause"] for each in found if not each["explained_by"]}
    assert causes <= roots, found


def test_another_account_hides_what_is_wrong_in_ours(platform: Checkout) -> None:
    """With foreign credentials nothing of AWS is known; the account is the root of all of it."""
    for fault in ("image-missing", "wrong-account"):
        assert platform.inv("sandbox.break", fault).returncode == 0
    first, *others = troubleshoot(platform)["findings"]
    assert first["cause"] == "wrong_account" and not first["explained_by"]
    assert all(each["explained_by"] == "wrong_account" for each in others), others
