"""An older image and a newer schema, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from ops.deploy.rules.schema_compat import older
from ops.state.model import ReleaseRecord

ORDER = ("0001", "0002", "0003")
SAID = (
    "the database is at 0003, abc was released at 0002: inv db.downgrade --to 0002 first if it "
    "does not work with it"
)
CASES: dict[str, Any] = {
    "released before the schema moved": ([("abc", "succeeded", "0002")], "0003", SAID),
    "released again since": (
        [("abc", "succeeded", "0003"), ("abc", "succeeded", "0002")],
        "0003",
        None,
    ),
    "a failed try since says nothing": (
        [("abc", "rolled_back", "0003"), ("abc", "succeeded", "0002")],
        "0003",
        SAID,
    ),
    "the same revision": ([("abc", "succeeded", "0003")], "0003", None),
    "released at a newer one": ([("abc", "succeeded", "0003")], "0002", None),
    "another tag": ([("def", "succeeded", "0002")], "0003", None),
    "a record without a revision": ([("abc", "succeeded", None)], "0003", None),
    "a revision of another checkout": ([("abc", "succeeded", "beef")], "0003", None),
    "a database without revisions": ([("abc", "succeeded", "0002")], None, None),
}


@pytest.mark.parametrize("case", CASES)
def test_an_older_image_beside_a_newer_schema_is_said(case: str) -> None:
    """Only where both revisions are known and the image's is the older one."""
    records, current, said = CASES[case]
    assert (
        older(
            [
                ReleaseRecord(tag=each[0], verdict=each[1], schema_revision=each[2])
                for each in records
            ],
            "abc",
            current,
            ORDER,
        )
        == said
    )
