"""Schema and image in order, by table: expand is fine, contract stops, unknown is asked."""

from __future__ import annotations

import pytest

from ops.core.findings import Unknown
from ops.deploy.rules.schema_order import PhasedRevision, check_schema
from ops.preflight.facts import SchemaRevision

EXPAND, CONTRACT = PhasedRevision("0003", "expand"), PhasedRevision("0004", "contract")
BOTH = PhasedRevision("0005", "")
AT_4 = SchemaRevision("0004")


@pytest.mark.parametrize(
    ("released", "current", "since", "status", "words"),
    [
        ("0002", None, (), "ok", "no database"),
        ("0004", AT_4, (), "ok", "as at that release"),
        ("0002", AT_4, (EXPAND, EXPAND), "ok", "2 expand revisions in between"),
        ("0002", AT_4, (EXPAND, CONTRACT), "refuse", "does not know: 0004"),
        ("0002", AT_4, (CONTRACT, BOTH), "refuse", "does not know: 0004"),
        ("0002", AT_4, (EXPAND, BOTH), "unknown", "0005 in between declare no phase"),
        ("0002", AT_4, Unknown("no such revision"), "unknown", "no such revision"),
        ("0002", Unknown("timed out"), (), "unknown", "timed out"),
        (None, AT_4, (), "unknown", "no record says"),
        (None, SchemaRevision(None), (), "ok", "as at that release"),
        ("0005", AT_4, (), "unknown", "downgraded since"),
    ],
)
def test_schema_order(
    released: str | None,
    current: SchemaRevision | Unknown | None,
    since: tuple[PhasedRevision, ...] | Unknown,
    status: str,
    words: str,
) -> None:
    item = check_schema("backend", "abc", released, current, since)
    assert (item.name, item.status) == ("schema", status)
    assert words in item.detail


def test_a_contract_revision_names_the_order_to_follow() -> None:
    item = check_schema("backend", "abc", "0002", AT_4, (EXPAND, CONTRACT))
    downgrade, rollback = "inv db.downgrade --to 0002", "inv backend.rollback --to abc"
    assert item.next.index(downgrade) < item.next.index(rollback)
    assert "--skip schema" in item.next
