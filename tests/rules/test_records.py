"""The list of releases, by table: records, what ECR still has, and what runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ops.model import Image
from ops.rules.records import NEWEST_FIRST, folder, key, rows


def record(tag: str, verdict: str = "succeeded", at: str = "2026-01-01T00:00:00+00:00", digest: str = "") -> dict[str, str]:
    return {"tag": tag, "digest": digest or f"sha256:{tag}", "commit": "c", "by": "ann", "at": at, "verdict": verdict}


def image(tag: str, day: int = 1) -> Image:
    return Image(f"sha256:{tag}", tag, 1, datetime(2026, 1, day, tzinfo=UTC))


def test_newest_first_with_the_running_one_marked() -> None:
    """The running digest's newest success is current; a failure of the same image is not."""
    listed = rows(
        [
            record("b", "rolled_back", "2026-01-04T00:00:00+00:00"),
            record("a", at="2026-01-03T00:00:00+00:00"),
            record("a", at="2026-01-01T00:00:00+00:00"),
        ],
        [image("a"), image("b")],
        "sha256:a",
    )
    assert [(row.tag, row.verdict, row.current) for row in listed] == [
        ("b", "rolled_back", False),
        ("a", "succeeded", True),
        ("a", "succeeded", False),
    ]


def test_an_image_without_a_record_is_listed_and_can_be_current() -> None:
    """Deployed from elsewhere: no record, but ECR has the image and ECS runs it."""
    listed = rows([record("a", at="2026-01-02T00:00:00+00:00")], [image("a", 1), image("x", 3)], "sha256:x")
    assert [(row.tag, row.verdict, row.current, row.recorded) for row in listed] == [
        ("x", "unrecorded", True, False),
        ("a", "succeeded", False, True),
    ]


@pytest.mark.parametrize(("images", "expected"), [([image("a")], True), ([], False), (None, None)])
def test_whether_ecr_still_has_it(images: list[Image] | None, expected: bool | None) -> None:
    """True, False, or None where ECR could not be read: unknown is never "gone"."""
    assert rows([record("a")], images, None)[0].in_ecr is expected


def test_keys_sort_newest_first() -> None:
    """S3 lists keys in order of their names, so the newest record comes first without reading any."""
    older, newer = (key("ops", "dev", "backend", datetime(2026, 1, day, tzinfo=UTC), "x") for day in (1, 2))
    assert newer < older and older.startswith(folder("ops", "dev", "backend"))
    assert datetime(2100, 1, 1, tzinfo=UTC).timestamp() < NEWEST_FIRST
