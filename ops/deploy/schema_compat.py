"""Warn before deploying an older image whose database schema has moved on.

It is never refused: expanded schemas work with older code.
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
    """Print a line if the tag was released at an older schema revision.

    Prints nothing if that is not known.
    """
    if not facts.requested_tag or not isinstance(facts.schema, SchemaRevision):
        return
    try:
        settings = platform.settings
        history = pending.heads_after(None, settings.root, settings.environment.migrations)
        order = [text.split(" ", 1)[0] for text in history]
        found = older(
            records.read(platform, facts.service), facts.requested_tag, facts.schema.revision, order
        )
    except OpsError as problem:
        ui.progress(f"unknown: at which revision {facts.requested_tag} was released: {problem.why}")
        return
    if found:
        ui.progress(found)
