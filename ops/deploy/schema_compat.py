"""Before an older image goes back: has the database moved on since it was released? It is said,
never refused: expanded schemas work.
"""

from __future__ import annotations

from ops.core import ui
from ops.core.errors import OpsError
from ops.deploy.rules.schema_compat import older
from ops.platform import Platform
from ops.postgres import pending
from ops.preflight.facts import ReleaseFacts, SchemaRevision
from ops.state import records


def report_schema_age(platform: Platform, facts: ReleaseFacts) -> None:
    """One line where `facts` are those of a tag that was released at an older revision; nothing
    where that can't be known.
    """
    if not facts.requested_tag or not isinstance(facts.schema, SchemaRevision):
        return
    try:
        order = [
            text.split(" ", 1)[0] for text in pending.heads_after(None, platform.settings.root)
        ]
        found = older(
            records.read(platform, facts.service), facts.requested_tag, facts.schema.revision, order
        )
    except OpsError as problem:
        ui.progress(f"unknown: at which revision {facts.requested_tag} was released: {problem.why}")
        return
    if found:
        ui.progress(found)
