"""Results of preflight checks, and what the checks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ops.aws.facts import TaskDefinition
from ops.core.findings import Unknown
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Status

if TYPE_CHECKING:
    from ops.core.config.settings import Environment, Service


class CheckResult(NamedTuple):
    """The result of a check.

    `detail` names what was found and what is allowed; `next` is the command or action that helps.
    """

    status: Status
    detail: str
    next: str = ""


def ok(detail: str) -> CheckResult:
    return CheckResult("ok", detail)


def warn(detail: str, next: str) -> CheckResult:
    return CheckResult("warn", detail, next)


def refuse(detail: str, next: str) -> CheckResult:
    return CheckResult("refuse", detail, next)


def unknown(why: str, next: str = "") -> CheckResult:
    return CheckResult("unknown", f"could not be read: {why}", next)


def refuse_unknown(what: str, fact: Unknown | None, next: str) -> CheckResult:
    """Refuse because `what` could not be read and a deploy is impossible without it."""
    return CheckResult(
        "refuse", f"{what} could not be read: {fact.why if fact else 'not read'}", next
    )


def service_config(facts: ReleaseFacts, environment: Environment) -> Service:
    """Return the service's configuration."""
    return environment.services[facts.service]


def config_key(facts: ReleaseFacts, name: str) -> str:
    """Return the full configuration key of a service's value."""
    return f"environments.{facts.environment}.services.{facts.service}.{name}"


def task_definition(facts: ReleaseFacts) -> TaskDefinition | Unknown:
    """Return the service's task definition, or why it is unknown."""
    return (
        facts.revision
        if facts.revision is not None
        else Unknown("the service's task definition was not found")
    )


def join_limited(words: list[str] | tuple[str, ...], most: int = 5) -> str:
    """Join the words, and count those beyond `most`: `a, b, c and 4 more`."""
    shown = ", ".join(words[:most])
    return shown + (f" and {len(words) - most} more" if len(words) > most else "")
