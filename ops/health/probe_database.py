"""The probes of the database: RDS, the secret, one connection by the configured way, and what it
tells.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError, Unreachable
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.health.inputs import SweepInputs
from ops.health.model import Check
from ops.health.probe_runner import Probe
from ops.health.rules import database as rules
from ops.postgres import access, facts
from ops.postgres import pending as postgres_pending
from ops.ssh.errors import BeyondBastion

if TYPE_CHECKING:
    from ops.core.config.database import Database


def probes(looks: SweepInputs) -> Iterator[Probe]:
    """None where the environment has no database. The longest first: its time is the sweep's."""
    configured = looks.environment.database
    if configured is None:
        return
    yield Probe(
        "db", "connection", partial(connection, looks), ("connection", "connections", "schema")
    )
    if configured.instance:
        yield Probe("db", "instance", partial(instance, looks))
    if configured.secret:
        yield Probe("db", "secret", partial(secret, looks, configured))


def instance(looks: SweepInputs) -> Iterable[Check]:
    found = looks.instance()
    return [rules.instance(found.id, found.status)] if found else []


def secret(looks: SweepInputs, configured: Database) -> Iterable[Check]:
    seen = gather(values=looks.secret, instance=looks.instance)
    values, found = seen["values"], seen["instance"]
    if isinstance(values, Unknown):
        return [rules.unknown_check("secret", values)]
    host = "" if isinstance(found, Unknown) or found is None else found.host  # type: ignore[union-attr]
    return [rules.secret(configured.secret or "", values, host)]  # type: ignore[arg-type]


def connection(looks: SweepInputs) -> Iterable[Check]:
    """SELECT 1 as the tasks of `db.*` connect, and what the same connection tells of connections
    and schema.
    """
    began = time.monotonic()
    seen = gather(
        vitals=partial(vitals_check, looks),
        released=partial(released, looks),
        order=partial(order, looks),
    )
    found = seen["vitals"]
    if isinstance(found, Check):
        return [
            found,
            *(
                rules.unknown_check(name, Unknown("there is no connection"))
                for name in ("connections", "schema")
            ),
        ]
    if isinstance(found, Unknown):
        return [
            rules.unknown_check(name, found) for name in ("connection", "connections", "schema")
        ]
    told: Any = found
    connected = rules.Connected(
        told.server, told.revision, told.connections, told.limit, time.monotonic() - began
    )
    return [
        rules.connected(connected),
        rules.connections(connected),
        schema(looks, connected, seen["released"], seen["order"]),
    ]


def vitals_check(looks: SweepInputs) -> facts.Vitals | Check:
    """A check where the database refused, or does not answer the bastion: that is a failure. A
    bastion that is away is a look not taken.
    """
    try:
        with access.opened(
            looks.platform.settings, lambda: looks.platform.cloud, secret=looks.secret
        ) as door:
            try:
                return facts.vitals(door.target.parameters)
            except Unreachable as problem:
                return rules.unreachable(problem.what, problem.why, problem.next)
    except BeyondBastion as problem:
        return rules.unreachable(problem.what, problem.why, problem.next)


def released(looks: SweepInputs) -> Mapping[str, str]:
    """Service → the schema's revision that its running release was recorded with."""
    records = gather(**{name: partial(looks.release, name) for name in looks.names})
    unknown = next((each for each in records.values() if isinstance(each, Unknown)), None)
    if unknown is not None:
        raise Unreachable("release records", unknown.why)
    return {
        name: str(each["schema_revision"])  # type: ignore[index]
        for name, each in records.items()
        if each and each.get("schema_revision")  # type: ignore[union-attr]
    }


def order(looks: SweepInputs) -> tuple[str, ...]:
    return postgres_pending.heads_after(None, looks.platform.settings.root)


def schema(looks: SweepInputs, seen: rules.Connected, released: Any, history: Any) -> Check:
    for fact in (released, history):
        if isinstance(fact, Unknown):
            return rules.unknown_check("schema", fact)
    try:
        pending = postgres_pending.heads_after(seen.revision, looks.platform.settings.root)
    except (Unreachable, ConfigError) as problem:
        return rules.unknown_check("schema", Unknown(f"{problem.what}: {problem.why}"))
    return rules.schema(
        seen.revision, [text.split(" ", 1)[0] for text in history], pending, released
    )
