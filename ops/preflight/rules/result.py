"""The words of the preflight checklist: what a check says, and what a check is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ops.aws.facts import TaskDefinition
from ops.core.findings import Unknown
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Status

if TYPE_CHECKING:
    from ops.core.config.settings import Environment, Service


class CheckResult(NamedTuple):
    """A check's answer: `detail` holds what was found and what is allowed, `next` what to type."""

    status: Status
    detail: str
    next: str = ""


@dataclass(frozen=True)
class PreflightCheck:
    """One line of the checklist.

    `looks`: what it looks at, in a few words. `needs`: checks whose refusal leaves nothing to
    decide here. `building`: it matters only where an image may be built (not with `--tag`).
    `shared`: the same for every service of the environment. `skippable` is False where a deploy
    without it would act in the wrong place, or on nothing."""

    name: str
    looks: str
    decide: Callable[[ReleaseFacts, Environment], CheckResult]
    needs: tuple[str, ...] = ()
    building: bool = False
    shared: bool = False
    skippable: bool = True


def ok(detail: str) -> CheckResult:
    return CheckResult("ok", detail)


def warn(detail: str, next: str) -> CheckResult:
    return CheckResult("warn", detail, next)


def refuse(detail: str, next: str) -> CheckResult:
    return CheckResult("refuse", detail, next)


def unknown(why: str, next: str = "") -> CheckResult:
    return CheckResult("unknown", f"could not be looked at: {why}", next)


def refuse_unknown(what: str, fact: Unknown | None, next: str) -> CheckResult:
    """A refusal because `what` could not be read, for the few facts that a deploy cannot go on
    without.
    """
    return CheckResult(
        "refuse", f"{what} could not be read: {fact.why if fact else 'not looked at'}", next
    )


def service_config(facts: ReleaseFacts, environment: Environment) -> Service:
    """What the configuration says of the service that these facts are about."""
    return environment.services[facts.service]


def key(facts: ReleaseFacts, name: str) -> str:
    """Where a value of the service stands in the configuration, as a person would look for it."""
    return f"environments.{facts.environment}.services.{facts.service}.{name}"


def healthy_revision(facts: ReleaseFacts) -> TaskDefinition | Unknown:
    """The service's own task definition, or why it is not known."""
    return (
        facts.revision
        if facts.revision is not None
        else Unknown("the service's task definition was not found")
    )


def listed(words: list[str] | tuple[str, ...], most: int = 5) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(words[:most])
    return shown + (f" and {len(words) - most} more" if len(words) > most else "")
