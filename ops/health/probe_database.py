"""Probes of the database: the RDS instance, its secret, a connection, its schema."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError, Unreachable
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.core.text import format_error
from ops.health.inputs import SweepInputs
from ops.health.model import Check
from ops.health.probe_runner import Probe, health_group
from ops.health.rules import database as rules
from ops.postgres import access, facts
from ops.postgres import pending as postgres_pending
from ops.ssh.errors import BeyondBastion

if TYPE_CHECKING:
    from ops.core.config.database import Database


@health_group("db", when_empty="environment {name} has no database")
def probes(inputs: SweepInputs) -> Iterator[Probe]:
    """Yield the probes, slowest first; none without a configured database."""
    configured = inputs.environment.database
    if configured is None:
        return
    yield Probe(
        "db", "connection", partial(_connection, inputs), ("connection", "connections", "schema")
    )
    if configured.instance:
        yield Probe("db", "instance", partial(_instance, inputs))
    if configured.secret:
        yield Probe("db", "secret", partial(_secret, inputs, configured))


def _instance(inputs: SweepInputs) -> Iterable[Check]:
    found = inputs.instance()
    return [rules.instance(found.id, found.status)] if found else []


def _secret(inputs: SweepInputs, configured: Database) -> Iterable[Check]:
    read = gather(values=inputs.secret, instance=inputs.instance)
    values, found = read["values"], read["instance"]
    if isinstance(values, Unknown):
        return [rules.unknown_check("secret", values)]
    host = "" if isinstance(found, Unknown) or found is None else found.host  # type: ignore[union-attr]
    return [rules.secret(configured.secret or "", values, host)]  # type: ignore[arg-type]


def _connection(inputs: SweepInputs) -> Iterable[Check]:
    """Connect as the `db.*` tasks do, and read connection counts and schema revision."""
    began = time.monotonic()
    read = gather(
        vitals=partial(_vitals_check, inputs),
        released=partial(_released, inputs),
        order=partial(_order, inputs),
    )
    found = read["vitals"]
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
    vitals: Any = found
    connected = rules.Connected(
        vitals.server, vitals.revision, vitals.connections, vitals.limit, time.monotonic() - began
    )
    return [
        rules.connected(connected),
        rules.connections(connected),
        _schema(inputs, connected, read["released"], read["order"]),
    ]


def _vitals_check(inputs: SweepInputs) -> facts.Vitals | Check:
    """Read the database's state, or return a failed check.

    It failed if the database refuses or the bastion cannot reach it. An unreachable bastion raises
    instead, and the result is unknown.
    """
    try:
        with access.open_database(
            inputs.platform.settings, lambda: inputs.platform.cloud, secret=inputs.secret
        ) as access_:
            try:
                return facts.read_vitals(access_.target.parameters)
            except Unreachable as problem:
                return rules.unreachable(problem.what, problem.why, problem.next)
    except BeyondBastion as problem:
        return rules.unreachable(problem.what, problem.why, problem.next)


def _released(inputs: SweepInputs) -> Mapping[str, str]:
    """Return service → the schema revision recorded with its running release."""
    records = gather(**{name: partial(inputs.release, name) for name in inputs.names})
    unknown = next((each for each in records.values() if isinstance(each, Unknown)), None)
    if unknown is not None:
        raise Unreachable("release records", unknown.why)
    return {
        name: str(each["schema_revision"])  # type: ignore[index]
        for name, each in records.items()
        if each and each.get("schema_revision")  # type: ignore[union-attr]
    }


def _order(inputs: SweepInputs) -> tuple[str, ...]:
    return postgres_pending.heads_after(None, inputs.platform.settings.root)


def _schema(inputs: SweepInputs, connection: rules.Connected, released: Any, history: Any) -> Check:
    for fact in (released, history):
        if isinstance(fact, Unknown):
            return rules.unknown_check("schema", fact)
    try:
        pending = postgres_pending.heads_after(connection.revision, inputs.platform.settings.root)
    except (Unreachable, ConfigError) as problem:
        return rules.unknown_check("schema", Unknown(format_error(problem)))
    return rules.schema(
        connection.revision, [text.split(" ", 1)[0] for text in history], pending, released
    )
