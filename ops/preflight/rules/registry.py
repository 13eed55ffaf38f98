"""The definition of a preflight check, and the registry of all checks.

A check registers itself by `preflight_check`. The sections give the order of the checklist, so that
the order of imports does not matter; in a section, checks stand as in its module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.result import CheckResult

if TYPE_CHECKING:
    from ops.core.config.settings import Environment

Section = Literal["source", "account", "image", "service", "network", "state", "endpoints"]
Decide = Callable[[ReleaseFacts, "Environment"], CheckResult]
SECTIONS: tuple[Section, ...] = get_args(Section)


@dataclass(frozen=True)
class PreflightCheck:
    """The definition of a check.

    `subject`: what it checks, in a few words. `needs`: checks without which it cannot be decided.
    `building`: needed only if an image may be built (not with `--tag`). `shared`: the same for all
    services of the environment. `skippable` is False where a deploy would otherwise act on the
    wrong platform, or on nothing.
    """

    name: str
    section: Section
    subject: str
    decide: Decide
    needs: tuple[str, ...]
    building: bool
    shared: bool
    skippable: bool


_registry: dict[str, PreflightCheck] = {}


def preflight_check(
    name: str,
    *,
    section: Section,
    subject: str,
    needs: tuple[str, ...] = (),
    building: bool = False,
    shared: bool = False,
    skippable: bool = True,
) -> Callable[[Decide], Decide]:
    """Register the decorated function as the check `name`; see `PreflightCheck`."""
    assert name not in _registry, name

    def register(decide: Decide) -> Decide:
        _registry[name] = PreflightCheck(
            name, section, subject, decide, needs, building, shared, skippable
        )
        return decide

    return register


def preflight_checks() -> tuple[PreflightCheck, ...]:
    """Return the registered checks by section, each section in its module's order."""
    return tuple(sorted(_registry.values(), key=lambda check: SECTIONS.index(check.section)))
