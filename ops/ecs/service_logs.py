"""`inv SERVICE.logs`: the log of a service's tasks, merged by time, once or followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ops.aws.cloudwatch import logs
from ops.core import ui
from ops.core.errors import Cancelled, ConfigError, Interrupted, OpsError
from ops.core.keys import Wait
from ops.ecs.log_output import SHORT_ID, LogPrinter
from ops.ecs.log_reader import Batch, LogFollower, LogReading, RangeReader
from ops.ecs.log_tasks import ServiceTasks
from ops.ecs.rules import log_sources
from ops.ecs.rules.log_merge import OVERLAP_MS, LogMerger
from ops.ecs.rules.log_request import Grep, LogWindow, parse_grep, parse_window
from ops.ecs.rules.log_sources import LogSource, LogSources
from ops.platform import Platform

if TYPE_CHECKING:
    from ops.core.config.settings import Service

POLL_S = 1.0
_LONGEST_PAUSE_S = 30.0
_REFRESH_S = 4.0  # between two reads of the tasks
_DRAIN_S = 10.0  # after the last of the chosen tasks stopped: its log arrives late
_CLOCK_SKEW_S = 60.0  # tolerated between a task's clock and this machine's
_CATCH_UP_S = 5.0  # between the polls at the start of a live tail


@dataclass(frozen=True)
class LogsRequest:
    """The options of `SERVICE.logs`."""

    window: LogWindow
    grep: Grep | None = None
    follow: bool = False
    task: str | None = None
    container: str | None = None

    @classmethod
    def parse(
        cls,
        since: str | None = None,
        until: str | None = None,
        *,
        follow: bool = False,
        grep: str | None = None,
        task: str | None = None,
        container: str | None = None,
    ) -> LogsRequest:
        """Raises ConfigError for an invalid option."""
        if task is not None and not task:
            raise ConfigError("--task", "it is empty", "give a task id, or its beginning")
        window = parse_window(since, until, time.time(), follow=follow)
        return cls(window, parse_grep(grep), follow, task, container)


class _Stopped(Exception):
    """The operator pressed q, or nothing reads the output any more."""


@dataclass
class ServiceLogs:
    """The state of one call. `problems`: what could not be read."""

    platform: Platform
    name: str
    request: LogsRequest
    printer: LogPrinter
    key: Wait
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    merger: LogMerger = field(default_factory=LogMerger)
    problems: list[str] = field(default_factory=list)
    tasks_failure: str = ""
    chosen: frozenset[str] = frozenset()  # ids of --task
    refreshed_at: float = 0.0
    heard_at: float = 0.0  # when the last event arrived

    def run(self) -> int:
        """Print the log. Returns 1 if a part of it could not be read, else 0."""
        self.tasks = ServiceTasks(
            self.platform.cloud,
            self.platform.settings.environment.cluster,
            self.service.ecs_service,
        )
        found = self.find_sources()
        self.printer.show_container = len({source.container for source in found.sources}) > 1
        for container, why in found.unreadable.items():
            ui.progress(f"container {container} is left out: {why}")
        sources = self.choose_tasks(found)
        try:
            (self.follow if self.request.follow else self.read)(sources)
        except KeyboardInterrupt as interruption:
            self.printer.write(self.merger.flush())
            raise self.interrupted(interruption) from None
        return 1 if self.problems else 0

    def interrupted(self, interruption: KeyboardInterrupt) -> Cancelled:
        """The error for a signal: a log is read from its start again, not continued."""
        what = f"the log of {self.name}: {interruption or 'interrupted'}"
        how = f"inv {self.name}.logs"
        if self.request.follow:
            return Cancelled(what, "--follow has ended; nothing was changed", f"{how} --follow")
        return Cancelled(what, "later events were not printed; nothing was changed", how)

    @property
    def service(self) -> Service:
        return self.platform.settings.service(self.name)

    # which sources

    def find_sources(self) -> LogSources:
        """Read the tasks, and where they log. Raises OpsError where no log can be read."""
        try:
            self.tasks.read()
        except OpsError as error:
            if not self.service.log_group or self.request.task:
                raise
            self.problem(f"tasks of {self.name}: {error.what}: {error.why}")
        found = self.sources(self.request.container or "")
        wanted = self.request.container
        if wanted and self.tasks.definitions and wanted not in found.containers:
            raise ConfigError(
                f"--container {wanted}: {self.name} has no such container",
                f"its task definition has: {', '.join(found.containers)}",
                f"inv {self.name}.logs --container {found.containers[0]}",
            )
        if not found.sources:
            whys = [f"{name}: {why}" for name, why in found.unreadable.items()]
            raise ConfigError(
                f"{self.name} does not log to CloudWatch Logs",
                "; ".join(whys) or "its task definition has no containers",
                f"look there, or set log_group of {self.name} in invoke.yaml",
            )
        return found

    def sources(self, container: str = "") -> LogSources:
        return log_sources.find_sources(
            self.tasks.definitions.values(),
            self.service.log_group,
            self.platform.cloud.region,
            container,
        )

    def choose_tasks(self, found: LogSources) -> tuple[LogSource, ...]:
        """The sources, for `--task` of the chosen tasks alone."""
        wanted = self.request.task
        if wanted is None:
            return found.sources
        if not found.has_task_ids:
            raise ConfigError(
                f"--task {wanted}",
                "no awslogs-stream-prefix is set, so stream names do not contain the task's id",
                f"leave --task out, or set awslogs-stream-prefix of {self.name}",
            )
        ids = {each for each in self.tasks.ids if each.startswith(wanted)}
        ids = ids or self.earlier_tasks(found.sources, wanted)
        if not ids:
            known = ", ".join(each[:SHORT_ID] for each in self.tasks.ids) or "none"
            raise ConfigError(
                f"--task {wanted}: {self.name} has no task or log stream with this id",
                f"its tasks, running and recently stopped: {known}",
                f"inv {self.name}.status",
            )
        self.chosen = frozenset(ids)
        return log_sources.of_tasks(found.sources, sorted(ids))

    def earlier_tasks(self, sources: Sequence[LogSource], wanted: str) -> set[str]:
        """Ids of tasks that ECS has forgotten, from the names of their log streams."""
        found: set[str] = set()
        for source in sources:
            cloud = self.platform.cloud.in_region(source.group.region)
            names = logs.stream_names(cloud, source.group, source.prefix + wanted)
            found |= {name.removeprefix(source.prefix) for name in names}
        return found

    # once

    def read(self, sources: Sequence[LogSource]) -> None:
        """Print a time range."""
        window = self.request.window
        until = window.until if window.until is not None else self.clock() + _CLOCK_SKEW_S
        reader = RangeReader(self.reading(self.sleep))
        for batch in reader.batches(sources, _ms(window.since), _ms(until)):
            self.printer.write(self.merger.add(batch))
            if self.printer.closed:
                return
        self.printer.write(self.merger.flush())
        if len(reader.failures) == len(sources) and not self.printer.count:
            raise reader.failures[0][1]
        for source, error in reader.failures:
            self.problem(f"{source.label}: {error.what}: {error.why}")
        if not self.printer.count:
            ui.progress(self.nothing_found(sources))

    def nothing_found(self, sources: Sequence[LogSource]) -> str:
        window = self.request.window
        groups = ", ".join(dict.fromkeys(f"{s.group.name} ({s.group.region})" for s in sources))
        ends = f"{_when(window.until)}" if window.until is not None else "now"
        text = f" that match {self.request.grep.text}" if self.request.grep else ""
        return f"no events{text} in {groups} from {_when(window.since)} until {ends}"

    def reading(self, wait: Callable[[float], None]) -> LogReading:
        return LogReading(self.platform.cloud, self.request.grep, wait, ui.progress)

    # on and on

    def follow(self, sources: Sequence[LogSource]) -> None:
        """Print the log until q, Ctrl-C, the end of the chosen tasks or of the reader."""
        follower = LogFollower(self.reading(self.wait), _ms(self.request.window.since), self.clock)
        self.refreshed_at = self.heard_at = self.clock()
        groups = ", ".join(dict.fromkeys(source.group.name for source in sources))
        ui.progress(f"following {groups}; {'q or ' if ui.on_terminal() else ''}Ctrl-C ends it")
        try:
            sources = self.tail(follower, sources)
            self.poll(follower, sources)
        except _Stopped:
            pass
        except Interrupted as interruption:
            if interruption.signal_name != "SIGINT":
                raise
        self.printer.write(self.merger.flush())

    def poll(self, follower: LogFollower, sources: Sequence[LogSource]) -> None:
        """Poll without an end; a lost connection is reported once and retried."""
        failed = 0
        while True:
            began = self.clock()
            try:
                for batch in follower.poll(sources):
                    self.print(batch)
                    self.wait(0)
                if failed:
                    ui.progress("CloudWatch Logs answers again")
                failed = 0
            except OpsError as error:
                if error.permanent:
                    self.printer.write(self.merger.flush())
                    raise
                if not failed:
                    ui.progress(f"cannot read the log, trying again: {error.why or error.what}")
                failed += 1
            sources = self.refresh(sources)
            self.release()
            pause = min(POLL_S * 2**failed, _LONGEST_PAUSE_S)
            self.wait(max(pause - (self.clock() - began), 0.05))

    def tail(self, follower: LogFollower, sources: Sequence[LogSource]) -> Sequence[LogSource]:
        """Follow by live tail, as long as that is possible; the sources to poll afterwards.

        A live tail shows what is ingested while it is open: polls at its start read what came
        before.
        """
        while (arn := self.tail_arn(sources)) is not None:
            source = sources[0]
            caught_up_at, began = 0.0, self.clock()
            try:
                for batch, sampled in follower.tail(source, arn):
                    if sampled:
                        ui.progress("more than 500 events a second: polling, to show all of them")
                        return sources
                    self.print(batch)
                    now = self.clock()
                    if (
                        now - caught_up_at >= _CATCH_UP_S
                        and caught_up_at - began < OVERLAP_MS / 1000
                    ):
                        caught_up_at = now
                        for earlier in follower.poll(sources):
                            self.print(earlier)
                    found = self.refresh(sources)
                    self.release()
                    self.wait(0)
                    if found != sources:
                        return found
            except logs.TailExpired:
                continue
            except OpsError as error:
                ui.progress(f"no live tail, polling: {error.why or error.what}")
                return sources
            ui.progress("the live tail ended: polling")
            return sources
        return sources

    def tail_arn(self, sources: Sequence[LogSource]) -> str | None:
        """The ARN of the group to tail; None where a live tail is not possible.

        It takes stream prefixes of a single group only, and no endpoint of an emulation.
        """
        if len(sources) != 1 or self.platform.cloud.endpoint:
            return None
        group = sources[0].group
        if group.account:
            return group.arn
        try:
            return logs.group_arn(self.platform.cloud.in_region(group.region), group.name)
        except OpsError:
            return None  # polling needs no ARN

    def print(self, batch: Batch) -> None:
        if batch:
            self.heard_at = self.clock()
        self.printer.write(self.merger.add(batch))

    def release(self) -> None:
        """Print records that wait for further lines, once none came for a poll."""
        if self.clock() - self.heard_at >= POLL_S:
            self.printer.write(self.merger.flush())

    def refresh(self, sources: Sequence[LogSource]) -> Sequence[LogSource]:
        """Report tasks that joined or are stopping, and return the sources of all tasks.

        Raises _Stopped when the chosen tasks have stopped and their log has been read.
        """
        if self.clock() - self.refreshed_at < _REFRESH_S:
            return sources
        self.refreshed_at = self.clock()
        try:
            lines = self.tasks.refresh()
            ended = bool(self.chosen) and self.tasks.ended(self.chosen)
        except OpsError as error:
            if self.tasks_failure != error.what:
                self.tasks_failure = error.what
                self.problem(f"{error.what}: {error.why}")
            return sources
        for line in lines:
            ui.progress(line)
        if ended and self.clock() - self.heard_at >= _DRAIN_S:
            ui.progress(f"{self.request.task} has stopped: nothing more to follow")
            raise _Stopped
        if self.chosen or not any(" joined" in line for line in lines):
            return sources
        found = self.sources(self.request.container or "").sources
        return found if {*found} != {*sources} else sources

    def wait(self, seconds: float) -> None:
        """Wait. Raises _Stopped on q, or when nothing reads the output."""
        if self.printer.closed or self.key(seconds) or self.printer.closed:
            raise _Stopped

    def problem(self, text: str) -> None:
        self.problems.append(text)
        ui.progress(f"could not read {text}")


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
