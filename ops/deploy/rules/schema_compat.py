"""Whether an earlier release is deployed to a database whose schema has moved on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ops.state.model import ReleaseRecord


def older(
    records: Iterable[ReleaseRecord], tag: str, current: str | None, order: Sequence[str]
) -> str | None:
    """The warning if `tag` was released at an older revision than `current`, else None.

    `records` are a service's releases, newest first; `order` the revisions, oldest first. None
    also if that is not known.
    """
    then = next(
        (record for record in records if record.tag == tag and record.succeeded),
        None,
    )
    released = (then.schema_revision or "") if then else ""
    if (
        not released
        or current not in order
        or released not in order
        or order.index(released) >= order.index(current)
    ):
        return None
    way_back = f"inv db.downgrade --to {released} first if it does not work with it"
    return f"the database is at {current}, {tag} was released at {released}: {way_back}"
