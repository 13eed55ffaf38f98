"""A watched rollout on the whole screen of a terminal; its end stays as a few lines."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TextIO

from ops.aws.facts import Event, ServiceState, Target, TaskState
from ops.core.errors import Detached
from ops.core.findings import Finding
from ops.core.keys import Keys
from ops.core.parallel import BackgroundCall, try_call
from ops.core.terminal import layout
from ops.core.terminal.live_screen import Line, LiveScreen, recent_lines
from ops.ecs.display import PlainDisplay, clean, finding_lines
from ops.ecs.model import NO_OPTIONS, NO_TRAFFIC, TrafficState, WatchOptions
from ops.ecs.rules.live_table import LiveState, lines

_DETACH_AFTER_S = 5.0  # of the notice that says what it means
_MAX_EVENTS = 40
_MAX_LOG_LINES = 500
_NOT_WAITED_S = 0.001


class TableDisplay(PlainDisplay):
    """A table that is redrawn in place, four times a second."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self.screen = LiveScreen(stream, self.picture)
        self.keys = Keys(self.screen.pause, self.screen.start, drop_earlier=True)
        self.options = NO_OPTIONS
        self.state: ServiceState | None = None
        self.tasks: tuple[TaskState, ...] = ()
        self.targets: tuple[Target, ...] = ()
        self.traffic = NO_TRAFFIC
        self.now = ""
        self.events: deque[Event] = deque(maxlen=_MAX_EVENTS)
        self.notes: list[str] = []
        self.logs: deque[str] = deque(maxlen=_MAX_LOG_LINES)
        self.log_wanted: bool | None = None  # None: as the caller of the watch says
        self.detach_at: float | None = None
        self.detached = False
        self.typical: BackgroundCall[float | None] | None = None
        self.started = False

    def following(
        self, deployment_id: str, timeout_s: float, options: WatchOptions = NO_OPTIONS
    ) -> None:
        super().following(deployment_id, timeout_s, options)
        self.began -= options.elapsed_s
        self.options = options
        self.typical = BackgroundCall(options.typical_s, "the last rollouts")
        self.state, self.now = None, ""
        self.events.clear()

    def update(
        self,
        service: ServiceState,
        tasks: tuple[TaskState, ...],
        targets: tuple[Target, ...],
        traffic: TrafficState = NO_TRAFFIC,
    ) -> None:
        self.state, self.tasks, self.targets, self.traffic = service, tasks, targets, traffic
        self.draw()

    def event(self, event: Event) -> None:
        self.events.append(event)
        self.draw()

    def phase(self, phase: str) -> None:
        self.now = phase
        self.draw()

    def finding(self, finding: Finding) -> None:
        for line in finding_lines(finding):
            self.note(line)

    def line(self, line: str) -> None:
        self.note(line)

    def note(self, line: str) -> None:
        """Show a line on the screen, and leave it behind at the end."""
        self.notes.append(clean(line))
        if self.started:
            self.draw()
        else:
            self.flush_notes()

    def log_lines(self, lines: tuple[str, ...]) -> None:
        if self.log_wanted is None and lines:
            self.log_wanted = True  # --follow
        self.logs.extend(clean(line) for line in lines)

    @property
    def is_live(self) -> bool:
        return True

    @property
    def shows_logs(self) -> bool | None:
        return self.log_wanted

    def draw(self) -> None:
        """Show the screen if that is not done yet, and redraw it."""
        if not self.started:
            self.started = True
            self.keys.open()
            self.screen.start()
        self.screen.refresh()

    def wait(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Sleep, and do what the typed keys say; `sleep` also checks that our lock is held."""
        ends = self.clock() + seconds
        while (left := ends - self.clock()) > 0:
            until = left if self.detach_at is None else min(left, self.detach_at - self.clock())
            key = self.keys.wait(max(until, _NOT_WAITED_S))
            if self.on_key(key):
                break
        sleep(0.0)

    def on_key(self, key: str) -> bool:
        """Handle a key, or "" for none; whether the watch shall poll now. Raises Detached."""
        if self.detach_at is not None:
            if key == "q" or self.clock() >= self.detach_at:
                self.detached = True
                raise Detached
            if key:
                self.detach_at = None
        elif key == "q" and self.options.detach:
            self.detach_at = self.clock() + _DETACH_AFTER_S
        elif key == "l":
            self.log_wanted = not self.log_wanted
        self.screen.refresh() if key else None
        return key == "l"

    def picture(self, width: int, height: int) -> Iterable[Line]:
        """The lines of the screen."""
        return lines(self.live_state(), width, height)

    def live_state(self) -> LiveState:
        return LiveState(
            self.options.service,
            self.id,
            datetime.now(UTC),
            self.clock() - self.began,
            self.timeout_s,
            self.typical_s(),
            clean(self.now),
            self.state,
            self.tasks,
            self.targets,
            self.traffic.weights,
            self.traffic.alarms,
            tuple(self.events),
            recent_lines(),
            tuple(self.notes),
            tuple(self.logs) if self.log_wanted else None,
            self.key_help(),
            self.notice(),
        )

    def typical_s(self) -> float | None:
        """What the last rollouts took; None while, or if, that is unknown."""
        typical = self.typical
        found = try_call(lambda: typical.result(_NOT_WAITED_S)) if typical else None
        return found if isinstance(found, float) else None

    def key_help(self) -> str:
        parts = [
            *(["q detach"] if self.options.detach else []),
            "l hide logs" if self.log_wanted else "l logs",
            f"Ctrl-C {self.options.interrupt}",
        ]
        return " · ".join(parts)

    def notice(self) -> tuple[str, ...]:
        """What detaching means, while that can still be stopped."""
        if self.detach_at is None:
            return ()
        left = max(self.detach_at - self.clock(), 0.0)
        how = f"detaching in {left:.0f} s: q now, any other key to stay"
        return (*self.options.detach, how)

    def write(self, line: str) -> None:
        self.note(line)

    def flush_notes(self) -> None:
        notes, self.notes = self.notes, []
        for line in notes:
            print(layout.fitted(line, self.stream), file=self.stream, flush=True)

    def close(self) -> None:
        """Give the terminal back, and print what stays: findings and log lines."""
        self.keys.close()
        if not self.started:
            return
        self.started = False
        self.screen.end()
        if self.log_wanted:
            self.notes += self.logs
        self.logs.clear()
        self.notes += self.options.detach if self.detached else ()
        self.flush_notes()
        self.detach_at = None


def create_display(
    stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> PlainDisplay:
    """The display for stderr: a table on a terminal that can redraw, lines elsewhere."""
    import sys

    from ops.core.terminal.live_screen import can_redraw

    out = stream or sys.stderr
    return TableDisplay(out, clock) if can_redraw(out) else PlainDisplay(out, clock)
