"""The order of schema and image in a rollback: expand revisions fit, contract ones do not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ops.core.findings import Unknown
from ops.core.text import format_count
from ops.preflight.facts import SchemaRevision
from ops.preflight.model import Item

SCHEMA = "schema"  # name of the check, for --skip


@dataclass(frozen=True)
class PhasedRevision:
    """A revision of the schema and its declared phase: expand, contract, or "" if none."""

    id: str
    phase: str


def check_schema(
    service: str,
    tag: str,
    released: str | None,
    current: SchemaRevision | Unknown | None,
    since: Iterable[PhasedRevision] | Unknown,
) -> Item:
    """The order of schema and image, for a rollback to `tag`.

    `released`: the schema revision at its release, `since`: the revisions from there to `current`.
    The status is "refuse" for a contract revision, which the old image does not know, and
    "unknown" for what must be asked.
    """
    if current is None:
        return Item(SCHEMA, "ok", "the environment has no database")
    if isinstance(current, Unknown):
        return _unknown(f"the database's revision could not be read: {current.why}")
    if released == current.revision:
        return Item(SCHEMA, "ok", f"the database is at {released}, as at that release")
    if not released:
        return _unknown(f"no record says at which schema revision {tag} was released")
    moved = f"the database is at {current.revision}, {tag} was released at {released}"
    if isinstance(since, Unknown):
        return _unknown(f"{moved}; the revisions between them are not known: {since.why}")
    since = tuple(since)
    if not since:
        return _unknown(f"{moved}: it was downgraded since, and {tag} may need what is gone")
    contract = [each.id for each in since if each.phase == "contract"]
    if contract:
        return Item(
            SCHEMA,
            "refuse",
            f"{moved}; contract revisions in between, which {tag} does not know: "
            f"{', '.join(contract)}",
            f"first, with the new code: inv db.downgrade --to {released}; then: "
            f"inv {service}.rollback --to {tag}; or accept it: --skip {SCHEMA}",
        )
    undeclared = [each.id for each in since if each.phase != "expand"]
    if undeclared:
        return _unknown(f"{moved}; {', '.join(undeclared)} in between declare no phase")
    return Item(SCHEMA, "ok", f"{moved}; {format_count(len(since), 'expand revision')} in between")


def _unknown(detail: str) -> Item:
    return Item(SCHEMA, "unknown", detail, f"--skip {SCHEMA} accepts it")
