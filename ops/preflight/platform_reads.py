"""Gather: everything that a release is decided from, looked at in three waves and written nowhere
(the waves: `gather_looks`).

Looks of one wave run at once, in threads; what could not be read becomes `Unknown`. The service's
tests run beside them in the calling thread, since an interrupt reaches no other one, and a test run
that outlives Ctrl-C would hold the checkout. With a tag nothing is built, so neither checkout nor
engine nor tests are looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ops.core import ui
from ops.core.errors import OpsError
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.platform import Platform
from ops.preflight.facts import ReleaseFacts
from ops.preflight.read_facts import GatherRequest, read_service, run_tests
from ops.preflight.rules.checks import validate_skip, validate_tag

if TYPE_CHECKING:
    pass

T = TypeVar("T")
W = TypeVar("W")


def release_facts(
    platform: Platform,
    service: str,
    tag: str | None,
    *,
    say: Callable[[str], None] = ui.progress,
    skip: frozenset[str] = frozenset(),
    tests: bool = True,
) -> ReleaseFacts:
    """The world before or after a release of `service`. `tests` False, or "tests" in `skip`: they
    are not run, and their fact is None.

    Raises ConfigError for an unknown service, a tag that is none and a check that cannot be
    skipped; a look that fails raises nothing."""
    return all_facts(platform, (service,), tag, say=say, skip=skip, tests=tests)[service]


def all_facts(
    platform: Platform,
    services: tuple[str, ...],
    tag: str | None = None,
    *,
    say: Callable[[str], None] = ui.progress,
    skip: frozenset[str] = frozenset(),
    tests: bool = True,
) -> dict[str, ReleaseFacts]:
    """`release_facts` of several services: their looks all at once, their tests one after the
    other.
    """
    validate_skip(skip)
    if tag is not None:
        validate_tag(tag)
    asked = [
        GatherRequest(platform, name, platform.settings.service(name), tag, skip, say)
        for name in services
    ]
    wanted = tests and tag is None and "tests" not in skip
    found, ran = run_alongside(
        lambda: read_all(asked), lambda: [run_tests(each) if wanted else None for each in asked]
    )
    return {facts.service: replace(facts, tests=run) for facts, run in zip(found, ran, strict=True)}


def run_alongside(looks: Callable[[], T], work: Callable[[], W]) -> tuple[T, W]:
    """Both at once; `work` in this thread, so that an interrupt stops it. Raises what either
    raised.
    """
    results: list[T] = []
    problems: list[BaseException] = []

    def run_reads() -> None:
        try:
            results.append(looks())
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run_reads, name="reads", daemon=True)
    thread.start()
    worked = work()
    thread.join()
    if problems:
        raise problems[0]
    return results[0], worked


def read_all(asked: list[GatherRequest]) -> list[ReleaseFacts]:
    found: dict[str, Any] = gather(**{each.name: partial(read_service, each) for each in asked})
    for facts in found.values():
        if isinstance(
            facts, Unknown
        ):  # every single look is guarded already, so this is a mistake of ours
            raise OpsError("preflight could not look", facts.why, "please report this")
    return list(found.values())
