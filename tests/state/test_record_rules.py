"""The list of releases, by table: records, what ECR still has, and what runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.aws.facts import ContainerState, Image, TaskState
from ops.core.errors import ConfigError
from ops.state.model import InvalidRecord, ReleaseRecord
from ops.state.rules.records import (
    NEWEST_FIRST,
    Known,
    ReleaseFilter,
    RunningImage,
    end_time,
    folder,
    has_unrecorded,
    key,
    newest_first,
    rows,
    running_images,
    table,
    with_start_time,
)


def record(
    tag: str, verdict: str = "succeeded", at: str = "2026-01-01T00:00:00+00:00", digest: str = ""
) -> ReleaseRecord:
    return ReleaseRecord(
        tag=tag,
        digest=digest or f"sha256:{tag}",
        commit="c",
        by="ann",
        at=at,
        verdict=verdict,
    )


def image(tag: str, day: int = 1) -> Image:
    return Image(f"sha256:{tag}", tag, 1, datetime(2026, 1, day, tzinfo=UTC))


def runs(*tags: str) -> tuple[RunningImage, ...]:
    return tuple(RunningImage(f"sha256:{tag}", tag, "2026-01-09T00:00:00+00:00") for tag in tags)


def test_newest_first_with_the_running_one_marked() -> None:
    """The running digest's newest success is current; a failure of the same image is not."""
    listed = rows(
        [
            record("b", "rolled_back", "2026-01-04T00:00:00+00:00"),
            record("a", at="2026-01-03T00:00:00+00:00"),
            record("a", at="2026-01-01T00:00:00+00:00"),
        ],
        [image("a"), image("b")],
        runs("a"),
    )
    assert [(row.tag, row.verdict, row.current) for row in listed] == [
        ("b", "rolled_back", False),
        ("a", "succeeded", True),
        ("a", "succeeded", False),
    ]


def test_a_restart_is_listed_as_one_with_the_commit_of_its_image() -> None:
    """Its record has no subject; a record of an earlier version has no kind."""
    deployed = replace(record("a"), kind="deploy", commit="c1", subject="Say hello")
    restarted = replace(
        record("a", at="2026-01-02T00:00:00+00:00"), kind="restart", commit="", subject=""
    )
    other = replace(record("b", at="2025-12-01T00:00:00+00:00"), commit="", subject="")
    listed = rows([restarted, deployed, other], [image("x")])
    assert [(row.tag, row.kind, row.commit, row.subject) for row in listed] == [
        ("a", "restart", "c1", "Say hello"),
        ("a", "deploy", "c1", "Say hello"),
        ("x", None, "", ""),
        ("b", None, "", ""),
    ]
    lines = table(listed, None)[1:]
    assert [each.split()[3] for each in lines] == ["restart", "deploy", "–", "?"]
    assert lines[0].endswith("Say hello  (no longer in ECR)")


def test_an_image_without_a_record_is_listed_and_can_be_current() -> None:
    """Deployed from elsewhere: no record, but ECR has the image and ECS runs it."""
    listed = rows(
        [record("a", at="2026-01-02T00:00:00+00:00")], [image("a", 1), image("x", 3)], runs("x")
    )
    assert [(row.tag, row.verdict, row.current, row.recorded) for row in listed] == [
        ("x", "unrecorded", True, False),
        ("a", "succeeded", False, True),
    ]


@pytest.mark.parametrize(("images", "expected"), [([image("a")], True), ([], False), (None, None)])
def test_whether_ecr_still_has_it(images: list[Image] | None, expected: bool | None) -> None:
    """True, False, or None where ECR could not be read: unknown is never "gone"."""
    assert rows([record("a")], images)[0].in_ecr is expected


def test_an_image_that_was_never_pushed_is_not_gone_from_ecr() -> None:
    """A build that failed has no digest, so ECR cannot have lost it."""
    failed = replace(record("b", "failed"), digest=None)
    (row,) = rows([failed], [])
    assert row.in_ecr is None and "no longer in ECR" not in table([row], None)[1]


def test_what_runs_is_always_marked() -> None:
    """A failed rollout that was kept, an image that only ECS knows, and both images while tasks
    differ: each has a current row.
    """
    kept = rows(
        [
            record("b", "failed", "2026-01-04T00:00:00+00:00"),
            record("a", at="2026-01-03T00:00:00+00:00"),
        ],
        [],
        runs("b"),
    )
    assert [(row.tag, row.verdict, row.current) for row in kept] == [
        ("b", "failed", True),
        ("a", "succeeded", False),
    ]
    (elsewhere, _) = rows([record("a")], [image("a")], runs("x"))
    assert (elsewhere.tag, elsewhere.verdict, elsewhere.current, elsewhere.in_ecr) == (
        "x",
        "unrecorded",
        True,
        False,
    )
    assert elsewhere.at == "2026-01-09T00:00:00+00:00" and elsewhere.dated == "started"
    (blind, _) = rows([record("a")], None, runs("x"))
    assert blind.current and blind.in_ecr is None
    assert [
        (row.tag, row.current) for row in rows([record("a"), record("b")], [], runs("a", "b"))
    ] == [("a", True), ("b", True)]


def test_older_images_are_not_called_unrecorded_where_older_records_were_not_read() -> None:
    """Only the newest records were read: an image from before them may have one. What runs is shown
    all the same.
    """
    records, images = (
        [record("c", at="2026-01-05T00:00:00+00:00")],
        [image("a", 1), image("b", 2), image("d", 6)],
    )
    assert [row.tag for row in rows(records, images, runs("c"), complete=False)] == ["d", "c"]
    assert [(row.tag, row.current) for row in rows(records, images, runs("b"), complete=False)] == [
        ("d", False),
        ("c", False),
        ("b", True),
    ]
    assert [row.tag for row in rows(records, images, runs("c"))] == ["d", "c", "b", "a"]


def test_what_runs_is_read_from_the_tasks() -> None:
    """Each image once, since its first task; tasks that are going, and digests that ECS does not
    tell, do not count.
    """

    def task(digest: str | None, day: int, status: str = "RUNNING") -> TaskState:
        state = ContainerState(
            "app", f"1.dkr.ecr.us-east-1.amazonaws.com:443/app:{digest}", digest, status, None, ""
        )
        return TaskState(
            "t", status, status, "", "", "", "", "", (state,), datetime(2026, 1, day, tzinfo=UTC)
        )

    found = running_images(
        [task("b", 4), task("b", 3), task("a", 1), task("c", 1, "STOPPED"), task(None, 1)], "app"
    )
    assert found == (
        RunningImage("b", "b", "2026-01-03T00:00:00+00:00"),
        RunningImage("a", "a", "2026-01-01T00:00:00+00:00"),
    )
    assert running_images([task("b", 4)], "another") == ()
    assert has_unrecorded([record("a", "failed", digest="a")], found) and not has_unrecorded(
        [record("a", digest="a")], found[1:]
    )


def test_a_row_as_a_person_reads_it() -> None:
    """The commit's subject; where there is no record, what the time is the time of."""
    subject = "Say hello to password=hunter2"
    recorded, pushed = rows(
        [replace(record("a", at="2026-01-05T10:00:00+00:00"), subject=subject)],
        [image("b")],
        runs("a"),
    )
    heading, newest, oldest = table([recorded, pushed], None)
    assert "hunter2" not in newest + str(vars(recorded))
    assert heading.split() == ["when", "(UTC)", "tag", "kind", "verdict", "by", "digest", "commit"]
    assert newest.startswith("● 2026-01-05 10:00:00  a ")
    assert "Say hello" in newest and newest.endswith("(no longer in ECR)")
    assert oldest.startswith("  2026-01-01 00:00:00  b ")
    assert "unrecorded" in oldest and "pushed then; no record of a release" in oldest


@pytest.mark.parametrize(("width", "kind"), [(40, False), (80, False), (120, True), (200, True)])
def test_the_table_fits_the_terminal(width: int, kind: bool) -> None:
    """Narrow ones leave out kind, digest and year, and cut the subject; no line is wrapped."""
    subject = "Let the health check name its service, and the home page say what it proves"
    (found,) = rows([replace(record("a"), subject=subject)], [image("a")], runs("a"))
    lines = table([found], width)
    assert max(map(len, lines)) <= width
    assert ("kind" in lines[0]) is kind
    assert "rolled_back" not in "".join(lines)


def test_keys_sort_newest_first() -> None:
    """S3 lists keys in order of their names, so the newest record comes first without reading
    any.
    """
    older, newer = (
        key("ops", "dev", "backend", datetime(2026, 1, day, tzinfo=UTC), "x") for day in (1, 2)
    )
    assert newer < older and older.startswith(folder("ops", "dev", "backend"))
    assert datetime(2100, 1, 1, tzinfo=UTC).timestamp() < NEWEST_FIRST


def test_what_could_not_be_read_is_none() -> None:
    """Without the tasks nobody knows what is current; without the records an image may well have
    one.
    """
    (blind,) = rows([record("a")], [image("a")], known=Known(tasks=False))
    assert (
        blind.current is None and blind.verdict == "succeeded" and table([blind], None)[1][0] == "?"
    )
    (current, other) = rows([record("a")], [image("x", 9)], runs("x"), known=Known(tasks=False))
    assert (current.current, other.current) == (True, None)
    (unread,) = rows([], [image("a")], runs("a"), known=Known(records=False))
    assert (unread.recorded, unread.verdict, unread.commit, unread.by) == (None, None, None, None)
    assert unread.current is True and "unknown" in table([unread], None)[1]
    assert rows([record("a")], [], known=Known(records=False))[0].verdict == "succeeded"


def test_the_order_of_records_is_s3s_time() -> None:
    """A machine three days ahead writes a key that sorts first for three days; S3 knows better. In
    the same second the key decides.
    """
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    ahead = (key("ops", "dev", "backend", noon + timedelta(days=3), "ahead"), noon)
    right = (
        key("ops", "dev", "backend", noon + timedelta(minutes=9), "right"),
        noon + timedelta(minutes=9),
    )
    same = (
        key("ops", "dev", "backend", noon + timedelta(minutes=8), "same"),
        noon + timedelta(minutes=9),
    )
    assert newest_first([ahead, same, right]) == (right, same, ahead)


@pytest.mark.parametrize(
    ("more", "began", "over"),
    [
        ({}, "12:00:00", "12:00:00"),
        ({"took_s": 30.5}, "11:59:29", "12:00:00"),
        ({"took_s": 60, "late_s": 7200}, "09:59:00", "10:00:00"),
        ({"took_s": None, "late_s": "odd"}, "12:00:00", "12:00:00"),
        ({"late_s": -5, "took_s": float("inf")}, "12:00:00", "12:00:00"),
    ],
)
def test_when_a_release_was_is_told_by_s3s_clock(
    more: dict[str, object], began: str, over: str
) -> None:
    """`at` of its own machine is replaced; what had waited to be sent is dated back by how long it
    waited.
    """
    written = datetime(2026, 1, 5, 12, tzinfo=UTC)
    found = ReleaseRecord.from_document(
        {**vars(record("a", at="2026-01-08T12:00:00+00:00")), **more}
    )
    assert with_start_time(found, written).at == f"2026-01-05T{began}+00:00"
    assert f"{end_time(found, written):%H:%M:%S}" == over


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "no JSON object"),
        ({"verdict": "paused"}, "verdict: 'paused' is not known"),
        ({"digest": {"sha256": "x"}}, "digest: unexpected type dict"),
    ],
)
def test_a_newer_record_is_not_guessed_at(document: Any, why: str) -> None:
    """An unknown verdict or another type: the caller reports the record as unknown."""
    with pytest.raises(InvalidRecord, match=why):
        ReleaseRecord.from_document(document)


def test_an_older_record_has_fewer_fields() -> None:
    """Missing fields are None; fields of a newer version are ignored."""
    found = ReleaseRecord.from_document({"tag": "a", "verdict": "succeeded", "colour": "blue"})
    assert found == ReleaseRecord(tag="a", verdict="succeeded")
    assert found.digest is None and found.succeeded


def test_a_filter_by_verdict_age_and_number() -> None:
    listed = rows(
        [
            record("d", at="2026-01-04T00:00:00+00:00"),
            record("c", "rolled_back", at="2026-01-03T00:00:00+00:00"),
            record("b", at="2026-01-02T00:00:00+00:00"),
            record("a", at="2026-01-01T00:00:00+00:00"),
        ],
        (),
    )
    since = datetime(2026, 1, 2, tzinfo=UTC).timestamp()

    def tags(only: ReleaseFilter) -> str:
        return "".join(row.tag for row in only.apply(listed))

    assert tags(ReleaseFilter()) == "dcba"
    assert tags(ReleaseFilter.parse("succeeded", None, None)) == "dba"
    assert tags(ReleaseFilter.parse("rolled back", "5", None)) == "c"
    assert tags(ReleaseFilter.parse("succeeded", "2", since)) == "db"
    assert tags(ReleaseFilter.parse(None, None, since)) == "dcb"


def test_a_row_of_unknown_verdict_may_match() -> None:
    row = replace(rows([record("a")], ())[0], verdict=None)
    assert ReleaseFilter.parse("failed", None, None).apply([row]) == (row,)


@pytest.mark.parametrize(
    ("verdict", "limit"), [("good", None), ("", None), (None, "0"), (None, "x"), (None, "")]
)
def test_a_filter_that_means_nothing(verdict: str | None, limit: str | None) -> None:
    with pytest.raises(ConfigError):
        ReleaseFilter.parse(verdict, limit, None)
