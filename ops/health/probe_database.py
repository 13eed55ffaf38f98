"""Probes of the database: the RDS instance, its secret, a connection, its schema."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from ops.aws import ec2
from ops.aws.rds import Instance
from ops.core.errors import ConfigError, Unreachable
from ops.core.findings import Unknown
from ops.core.parallel import NotRead, Reads, gather, try_call, unknown
from ops.health.inputs import SweepInputs
from ops.health.model import Check, CheckKey, Kind
from ops.health.probe_runner import Probe, health_group
from ops.health.rules import database as rules
from ops.postgres import access, facts, tunnel
from ops.postgres import pending as postgres_pending
from ops.ssh.errors import BeyondBastion
from ops.state.model import ReleaseRecord
from ops.tools import reachability

_BY_CONNECTION: tuple[Kind, ...] = ("connection", "connections", "schema")


@health_group(
    "db", when_empty="environment {name} has no database to check from here", needs=("database",)
)
def probes(inputs: SweepInputs) -> Iterator[Probe]:
    """Yield the probes, slowest first; none without a configured database.

    Where only tasks reach it, nothing connects: a sweep is shorter than the start of a task.
    """
    configured = inputs.environment.database
    if configured is None:
        return
    if not tunnel.by_task_only(inputs.platform.settings):
        yield Probe(
            tuple(CheckKey("db", kind) for kind in _BY_CONNECTION), partial(_connection, inputs)
        )
    if configured.instance:
        yield Probe((CheckKey("db", "instance"),), partial(_instance, inputs))
    if configured.secret or configured.instance:
        yield Probe((CheckKey("db", "secret"),), partial(_secret, inputs))


def _instance(inputs: SweepInputs) -> Iterable[Check]:
    found = inputs.instance()
    return [rules.instance(found.id, found.status)] if found else []


def _secret(inputs: SweepInputs) -> Iterable[Check]:
    """Check the secret's keys and address.

    No check if neither the configuration nor RDS has a secret. An Aurora cluster's secret may name
    the cluster's endpoint or the instance's.
    """
    with Reads() as reads:
        values, name = reads.submit(inputs.secret), reads.submit(inputs.secret_name)
        instance, address = reads.submit(inputs.instance), reads.submit(inputs.address)
        managed = reads.submit(inputs.managed_secret)
    if isinstance(name.value, Unknown):
        return [rules.unknown_check("secret", name.value)]
    if isinstance(values.value, Unknown):
        return [rules.unknown_check("secret", values.value)]
    if not name.value:
        return []
    hosts = {
        "" if isinstance(address.value, Unknown) else address.value.get("host", ""),
        "" if isinstance(instance.value, Unknown | None) else instance.value.host,
    }
    status = "" if isinstance(managed.value, Unknown | None) else managed.value.status
    return [rules.secret(name.value, values.value, hosts, status)]


def _connection(inputs: SweepInputs) -> Iterable[Check]:
    """Connect as the `db.*` tasks do, and read connection counts and schema revision."""
    began = time.monotonic()
    with Reads() as reads:
        read = reads.submit(_vitals_check, inputs)
        released = reads.submit(_released, inputs)
        order = reads.submit(_order, inputs)
    vitals = read.value
    if isinstance(vitals, Check):
        rest = _BY_CONNECTION[1:]
        missing = Unknown("there is no connection")
        return [vitals, *(rules.unknown_check(kind, missing) for kind in rest)]
    if isinstance(vitals, Unknown):
        return [rules.unknown_check(kind, vitals) for kind in _BY_CONNECTION]
    connected = rules.Connected(
        vitals.server,
        vitals.revision,
        vitals.connections,
        vitals.limit,
        time.monotonic() - began,
        vitals.read_only,
    )
    return [
        rules.connected(connected),
        rules.connections(connected),
        _schema(inputs, connected, released.value, order.value),
    ]


def _vitals_check(inputs: SweepInputs) -> facts.Vitals | Check:
    """Read the database's state, or return a failed check.

    It failed if the database refuses, or the bastion (or the task of the tunnel) cannot reach it.
    An unreachable bastion or a broken tunnel raises instead, and the result is unknown.
    """
    host = ""
    try:
        with access.open_database(
            inputs.platform.settings, lambda: inputs.platform.cloud, secret=inputs.secret
        ) as access_:
            host = str(access_.target.parameters.get("host") or "")
            return facts.read_vitals(access_.target.parameters)
    except facts.DatabaseUnreachable as problem:
        if problem.cause == "database_unreachable":
            _require_reachable(inputs, host)
        return rules.unreachable(problem.what, problem.why, problem.next, problem.cause)
    except BeyondBastion as problem:
        return rules.unreachable(problem.what, problem.why, problem.next)


def _require_reachable(inputs: SweepInputs, host: str) -> None:
    """Raise Unreachable if this machine cannot be expected to reach the database."""
    if inputs.environment.database_run != "local":
        return
    found = try_call(inputs.instance)
    if isinstance(found, Unknown) or found is None:
        return
    address = try_call(inputs.address)
    hosts = {found.host, "" if isinstance(address, Unknown) else address.get("host", "")}
    sources = try_call(partial(_admitted, inputs, found)) if found.public else None
    known = None if isinstance(sources, Unknown) else sources
    why = rules.private_reason(found.status, found.public, hosts, host, known)
    if why:
        raise Unreachable(
            f"database on {host}, from this machine",
            why,
            "set database.tunnel, or a bastion, in invoke.yaml",
        )


def _admitted(inputs: SweepInputs, instance: Instance) -> str | None:
    """Who may connect to the instance, as its security groups say; None: anyone."""
    if not (instance.groups and instance.port.isdigit()):
        return None
    ingress = ec2.ingress(inputs.platform.cloud, instance.groups)
    return reachability.admitted(instance.groups, ingress, int(instance.port))


def _released(inputs: SweepInputs) -> Mapping[str, str]:
    """Return service → the schema revision recorded with its running release."""
    records = gather(**{name: partial(inputs.release, name) for name in inputs.names})
    unread = next((each for each in records.values() if isinstance(each, Unknown)), None)
    if unread is not None:
        raise NotRead("release records", unread)
    return {
        name: each.schema_revision
        for name, each in records.items()
        if isinstance(each, ReleaseRecord) and each.schema_revision
    }


def _order(inputs: SweepInputs) -> tuple[str, ...]:
    return _pending_after(inputs, None)


def _pending_after(inputs: SweepInputs, revision: str | None) -> tuple[str, ...]:
    settings = inputs.platform.settings
    return postgres_pending.heads_after(revision, settings.root, settings.environment.migrations)


def _schema(
    inputs: SweepInputs,
    connection: rules.Connected,
    released: Mapping[str, str] | Unknown,
    history: tuple[str, ...] | Unknown,
) -> Check:
    if isinstance(released, Unknown):
        return rules.unknown_check("schema", released)
    if isinstance(history, Unknown):
        return rules.unknown_check("schema", history)
    try:
        pending = _pending_after(inputs, connection.revision)
    except (Unreachable, ConfigError) as problem:
        return rules.unknown_check("schema", unknown(problem))
    return rules.schema(
        connection.revision, [text.split(" ", 1)[0] for text in history], pending, released
    )
