"""Read the revisions between the schema of a release and the database's, with their phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.core.findings import Unknown
from ops.core.parallel import try_call
from ops.deploy.rules.schema_order import PhasedRevision, check_schema
from ops.platform import Platform
from ops.preflight.facts import ReleaseFacts, SchemaRevision
from ops.preflight.model import Item

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


def schema_item(platform: Platform, facts: ReleaseFacts, tag: str, released: str | None) -> Item:
    """The check of the order of schema and image; `released`: the schema revision then."""
    current = facts.schema
    since: tuple[PhasedRevision, ...] | Unknown = ()
    if (
        isinstance(current, SchemaRevision)
        and released
        and current.revision not in (None, released)
    ):
        since = try_call(
            lambda: _revisions_between(platform.settings, released, str(current.revision))
        )
    return check_schema(facts.service, tag, released, current, since)


def _revisions_between(settings: Settings, old: str, new: str) -> tuple[PhasedRevision, ...]:
    """The revisions after `old` up to `new`, oldest first; none if `new` is older.

    Raises OpsError if this checkout does not have them.
    """
    from ops.postgres import access

    project = access.offline(settings.root, settings.environment.migrations)
    with access.translate_errors(project.target):
        found = project.scripts.between("upgrade", new, old)
    return tuple(PhasedRevision(each.id, str(each.about.get("phase") or "")) for each in found)
