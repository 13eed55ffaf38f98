"""Health sweeps before and after a deploy, a migration or a `tf.apply`.

A deploy's first sweep runs beside the preflight, so it adds almost no time. The difference between
the two sweeps also includes a confirmation or a build in between, so the report names the start
time. The result never changes the verdict of the operation itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ops.core import ui
from ops.core.errors import Cancelled, ConfigError, OpsError, Refused, Unreachable
from ops.core.findings import Unknown
from ops.core.parallel import BackgroundCall, try_call, try_call_in_thread
from ops.core.text import format_count, format_timestamp
from ops.health import history, render
from ops.health import sweep as health_sweep
from ops.health.inputs import Memo
from ops.health.model import Change, Sweep, SweepRequest
from ops.health.rules import diff
from ops.health.rules.stored_sweep import StoredSweep
from ops.platform import Platform
from ops.state.model import ReleaseRecord

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_NOT_READ = Unknown("not checked")
_DEADLINE_S = 10.0  # of each sweep


class BeforeAfter:
    """Two sweeps around one change: `begin` starts the first, `end` runs the second.

    Does nothing in an environment without services. `platform` is called in the first sweep's
    thread, so nothing is connected when no sweep runs.
    """

    def __init__(self, settings: Settings, platform: Callable[[], Platform], about: str) -> None:
        self.settings, self.platform, self.about = settings, Memo(platform), about
        self.began = time.time()
        self.ended = False
        self.before: Sweep | Unknown = _NOT_READ
        self.after: Sweep | Unknown = _NOT_READ
        self._sweeping: BackgroundCall[None] | None = None

    @classmethod
    def begin(
        cls,
        settings: Settings,
        platform: Callable[[], Platform],
        about: str,
        *,
        enabled: bool = True,
    ) -> BeforeAfter:
        """Start the first sweep in the background.

        `about` describes the change; `enabled` False runs no sweep.
        """
        snapshots = cls(settings, platform, about)
        if enabled and settings.environment.services:
            snapshots._sweeping = BackgroundCall(snapshots._sweep_before, "health before")
        return snapshots

    def _sweep_before(self) -> None:
        self.before = try_call_in_thread(
            lambda: health_sweep.sweep(self.platform(), self._request(f"before {self.about}"), None)
        )

    def _request(self, about: str, from_s: float | None = None) -> SweepRequest:
        groups = tuple(health_sweep.configured(self.platform()))
        return SweepRequest(only=groups, about=about, from_s=from_s, deadline_s=_DEADLINE_S)

    def ready(self) -> None:
        """Wait for the first sweep, before anything is changed."""
        if self._sweeping is not None:
            with suppress(Unreachable):  # late: `before` is then unknown
                self._sweeping.result(_DEADLINE_S + 1)

    def end(self, released: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Run the second sweep and store both.

        Raises nothing but interrupts. `released`: service → the release that has just succeeded and
        is not recorded yet.
        """
        if self._sweeping is None:
            return
        self.ready()
        self.ended = True
        self.after = try_call(lambda: self._sweep_after(released or {}))
        for sweep in (self.before, self.after):
            if isinstance(sweep, Sweep):
                history.append(self.settings, sweep)

    def _sweep_after(self, released: Mapping[str, Mapping[str, Any]]) -> Sweep:
        request = replace(
            self._request(f"after {self.about}", from_s=self.began),
            released={
                name: ReleaseRecord.from_document(document) for name, document in released.items()
            },
        )
        before = StoredSweep.of(self.before) if isinstance(self.before, Sweep) else None
        return health_sweep.sweep(self.platform(), request, before)

    def as_document(self) -> dict[str, Any]:
        """Return the `health` object of the JSON document: before, after, changes."""
        changes = self.after.changes if isinstance(self.after, Sweep) else ()
        return {
            "before": _sweep_document(self.before, self.settings.name),
            "after": _sweep_document(self.after, self.settings.name),
            "changes": [change.as_document() for change in changes],
        }

    def lines(self, expected: Callable[[Change], bool] = lambda change: False) -> Iterator[str]:
        """Describe the changes and the checks that are unhealthy now.

        `expected`: whether the operation itself made a change, which is left out.
        """
        if not self.ended:
            return
        if not isinstance(self.after, Sweep):
            yield f"  health afterwards unknown: {self.after.why}"
            return
        changes = [each for each in self.after.changes if not expected(each)]
        count = format_count(len(changes), "change", "no")
        before = self.before
        yield (
            f"  health since {format_timestamp(before.at)}: {count}"
            if isinstance(before, Sweep)
            else f"  health before unknown: {before.why}"
        )
        yield from (f"    {line}" for line in render.merge_same(changes))
        unhealthy_before = (
            {check.key: check.unhealthy for check in before.checks}
            if isinstance(before, Sweep)
            else {}
        )
        for check in self.after.checks:
            if check.unhealthy and not check.explained_by:
                since = (
                    "as before"
                    if unhealthy_before.get(check.key)
                    else "since this change"
                    if check.key in unhealthy_before
                    else "not checked before"
                )
                yield f"    {render.check_line(check)} ({since})"


def _sweep_document(sweep: Sweep | Unknown, environment: str) -> dict[str, Any]:
    if isinstance(sweep, Sweep):
        return diff.as_document(sweep)
    unknown = {
        "group": "health",
        "name": "health",
        "status": "unknown",
        "detail": sweep.why,
        "took_s": 0.0,
    }
    healthy = None if sweep == _NOT_READ else False
    return {"healthy": healthy, "environment": environment, "checks": [unknown], "changes": []}


@contextmanager
def before_and_after(
    settings: Settings, about: str, *, enabled: bool = True
) -> Iterator[BeforeAfter]:
    """Run sweeps before and after the body of a `with` statement.

    After a failure the change may be half done, so the second sweep runs too and its result joins
    the error (`health` with `--json`). After a refusal or an interrupt it does not run.
    """
    snapshots = BeforeAfter.begin(settings, lambda: Platform.of(settings), about, enabled=enabled)
    snapshots.ready()
    try:
        yield snapshots
    except (Refused, ConfigError, Cancelled):
        raise
    except OpsError as error:
        snapshots.end()
        if snapshots.ended:
            error.about = {**error.about, "health": snapshots.as_document()}
            for line in snapshots.lines():
                ui.progress(line)
        raise
    snapshots.end()
