"""The platform before and after a change: every deploy, migration and apply takes its own two
sweeps and says what differs.

A deploy's first one runs beside the preflight, so it costs next to nothing; what comes between (a
question, a build) is in the difference too, so it is said since when. What was ill before is not
blamed on the change, and no verdict hangs on it: that is the proof's business."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ops.core import ui
from ops.core.errors import Cancelled, ConfigError, OpsError, Refused
from ops.core.findings import Unknown
from ops.core.parallel import try_call, try_call_in_thread
from ops.health import history, render
from ops.health import sweep as health_sweep
from ops.health.model import Sweep, SweepRequest
from ops.health.probe_runner import Memo
from ops.health.rules import diff
from ops.platform import Platform

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

NOT_READ = Unknown("not looked at")
LONGEST_S = 10.0  # of each sweep: nobody waits longer for a look that is not asked for


class BeforeAfter:
    """One change. `begin` looks before, `end` after; an environment without services has nothing to
    look at, and says nothing.

    `platform` is called in the first look's thread: where nothing is looked at, no door is opened.
    """

    def __init__(self, settings: Settings, platform: Callable[[], Platform], about: str) -> None:
        self.settings, self.platform, self.about = settings, Memo(platform), about
        self.began = time.time()
        self.ended = False
        self.before: Sweep | Unknown = NOT_READ
        self.after: Sweep | Unknown = NOT_READ
        self._looking = threading.Thread(
            target=self._look_before, name="health before", daemon=True
        )

    @classmethod
    def begin(
        cls, settings: Settings, platform: Callable[[], Platform], about: str, *, looks: bool = True
    ) -> BeforeAfter:
        """Start to look; nothing is waited for. `about`: the change, in words; `looks` False: there
        is no change to look around.
        """
        around = cls(settings, platform, about)
        if looks and settings.environment.services:
            around._looking.start()
        return around

    def _look_before(self) -> None:
        self.before = try_call_in_thread(
            lambda: health_sweep.sweep(self.platform(), self._request(f"before {self.about}"), None)
        )

    def _request(self, about: str, from_s: float | None = None) -> SweepRequest:
        groups = tuple(health_sweep.configured(self.platform()))
        return SweepRequest(only=groups, about=about, from_s=from_s, deadline_s=LONGEST_S)

    def ready(self) -> None:
        """Wait for the first look: from here on the world may change."""
        if self._looking.ident is not None:
            self._looking.join(LONGEST_S + 1)

    def end(self, released: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Look again, and keep both. Never raises but for an interrupt: a look must not spoil what
        was done.

        `released`: service → the release that has just succeeded, which nothing has recorded yet.
        """
        if self._looking.ident is None:
            return
        self.ready()
        self.ended = True
        self.after = try_call(lambda: self._look_after(released or {}))
        for sweep in (self.before, self.after):
            if isinstance(sweep, Sweep):
                history.append(self.settings, sweep)

    def _look_after(self, released: Mapping[str, Mapping[str, Any]]) -> Sweep:
        request = replace(
            self._request(f"after {self.about}", from_s=self.began), released=released
        )
        document = diff.as_document(self.before) if isinstance(self.before, Sweep) else None
        return health_sweep.sweep(self.platform(), request, document)

    def as_document(self) -> dict[str, Any]:
        """`health` of a deploy's, a migration's or an apply's document (design: before, after,
        changes).
        """
        changes = self.after.changes if isinstance(self.after, Sweep) else ()
        return {
            "before": sweep_document(self.before, self.settings.name),
            "after": sweep_document(self.after, self.settings.name),
            "changes": [vars(change) for change in changes],
        }

    def lines(self) -> Iterator[str]:
        """What changed, since when, and what is ill now: new since the change, or as before."""
        if not self.ended:
            return
        if not isinstance(self.after, Sweep):
            yield f"  health after it is not known: {self.after.why}"
            return
        changes = self.after.changes
        told = f"{len(changes) or 'no'} change{'' if len(changes) == 1 else 's'}"
        before = self.before
        yield (
            f"  health since {before.at[:19]}Z: {told}"
            if isinstance(before, Sweep)
            else f"  health before it is not known: {before.why}"
        )
        yield from (f"    {line}" for line in render.merge_same(changes))
        was = (
            {check.label: check.ill for check in before.checks} if isinstance(before, Sweep) else {}
        )
        for check in self.after.checks:
            if check.ill and not check.explained_by:
                since = (
                    "as before"
                    if was.get(check.label)
                    else "since this change"
                    if check.label in was
                    else "not seen before"
                )
                yield f"    {render.check_line(check)} ({since})"


def sweep_document(sweep: Sweep | Unknown, environment: str) -> dict[str, Any]:
    if isinstance(sweep, Sweep):
        return diff.as_document(sweep)
    unknown = {
        "group": "health",
        "name": "health",
        "status": "unknown",
        "detail": sweep.why,
        "took_s": 0.0,
    }
    healthy = None if sweep == NOT_READ else False
    return {"healthy": healthy, "environment": environment, "checks": [unknown], "changes": []}


@contextmanager
def before_and_after(
    settings: Settings, about: str, *, looks: bool = True
) -> Iterator[BeforeAfter]:
    """A change that is made while this holds. Where it failed it may be half done, which is looked
    at and told all the same (with `--json` as `health` beside the error); where it was refused
    nothing was done, and whoever interrupts wants to get away."""
    found = BeforeAfter.begin(settings, lambda: Platform.of(settings), about, looks=looks)
    found.ready()
    try:
        yield found
    except (Refused, ConfigError, Cancelled):
        raise
    except OpsError as error:
        found.end()
        if found.ended:
            error.about = {**error.about, "health": found.as_document()}
            for line in found.lines():
                ui.progress(line)
        raise
    found.end()
