"""The preflight checklist (runbook section 1): decide the registered checks.

A refusal stops a deploy; a warning or an unknown result does not. A failed read is unknown, or a
refusal where a deploy is impossible without the fact. If a needed check refuses, dependent checks
are unknown and refer to it, so that each cause is reported once. `docs/preflight.md` lists all
checks; a test compares it with the registry.

`--skip` ignores a check's refusal and keeps its line, as skipped. Five checks cannot be skipped:
with other credentials a deploy would act on another platform, and without service, container,
repository or image on nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ops.core.errors import ConfigError
from ops.preflight.facts import ReleaseFacts
from ops.preflight.model import Item
from ops.preflight.rules import (  # each module registers its section's checks when imported
    account,  # noqa: F401
    endpoints,  # noqa: F401
    image,  # noqa: F401
    network,  # noqa: F401
    service,  # noqa: F401
    source,  # noqa: F401
    state,  # noqa: F401
)
from ops.preflight.rules.registry import PreflightCheck, preflight_checks

if TYPE_CHECKING:
    from ops.core.config.settings import Environment

_TAG = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
)  # OCI distribution specification, "Pulling manifests"

CHECKS = preflight_checks()
NAMES = tuple(check.name for check in CHECKS)
SHARED = frozenset(check.name for check in CHECKS if check.shared)
SKIPPABLE = tuple(check.name for check in CHECKS if check.skippable)


def check(
    facts: ReleaseFacts, environment: Environment, skip: frozenset[str] = frozenset()
) -> tuple[Item, ...]:
    """Return every line of the checklist, in order.

    Raises ConfigError for a name in `skip` that is unknown or cannot be skipped.
    """
    validate_skip(skip)
    causes: dict[str, str] = {}  # check → the refusal that explains it
    return tuple(_decide(each, facts, environment, skip, causes) for each in CHECKS)


def _decide(
    each: PreflightCheck,
    facts: ReleaseFacts,
    environment: Environment,
    skip: frozenset[str],
    causes: dict[str, str],
) -> Item:
    if each.name in skip:
        return Item(each.name, "skipped", f"by --skip; it checks {each.subject}")
    if each.building and facts.requested_tag:
        why = f"a {facts.action} builds nothing"
        if facts.action == "deploy":
            why = "with --tag nothing is built"
        return Item(each.name, "ok", f"not needed: {why}")
    cause = next((causes[name] for name in each.needs if name in causes), None)
    if cause:
        causes[each.name] = cause
        return Item(each.name, "unknown", f"not decided: see {cause}")
    result = each.decide(facts, environment)
    if result.status == "refuse":
        causes[each.name] = each.name
    return Item(each.name, result.status, result.detail, result.next)


def refusals(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(item for item in items if item.status == "refuse")


def validate_skip(names: Iterable[str]) -> None:
    """Raise ConfigError (exit code 2) for an unknown check or one that cannot be skipped."""
    for name in sorted(names):
        if name in SKIPPABLE:
            continue
        if name in NAMES:
            why = "a deploy without it would act in the wrong place or on nothing"
            raise ConfigError(
                f"--skip {name}", f"it cannot be skipped: {why}", f"allowed: {', '.join(SKIPPABLE)}"
            )
        near = difflib.get_close_matches(name, SKIPPABLE, n=1)
        advice = (
            f"did you mean --skip {near[0]}?" if near else "inv preflight shows the checks by name"
        )
        raise ConfigError(
            f"--skip {name!r}", f"there is no such check; allowed: {', '.join(SKIPPABLE)}", advice
        )


def validate_tag(tag: str) -> str:
    """Return the tag if it is valid in the OCI grammar.

    Raises ConfigError (exit code 2), so that an invalid tag reaches no command and no API.
    """
    if not _TAG.fullmatch(tag):
        shown = repr(tag) if len(tag) <= 140 else f"{tag[:60]!r}… ({len(tag)} characters)"
        allowed = "a letter, digit or _, then at most 127 letters, digits, _, . or -"
        raise ConfigError(
            f"--tag {shown}",
            f"that is no image tag; allowed: {allowed}",
            "name a tag that is in the repository, for example --tag abc1234",
        )
    return tag
