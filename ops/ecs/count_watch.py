"""Watch a service until it runs the desired count that was set."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ops.aws.facts import ServiceState, Target
from ops.ecs.model import WatchResult
from ops.ecs.rules.count import decide_count
from ops.ecs.rules.verdict.observation import Decision
from ops.ecs.watch import DeploymentWatch


@dataclass
class CountWatch(DeploymentWatch):
    """A watch of the PRIMARY deployment, whose verdict depends on the `count` of its tasks.

    `earlier_stops`: ARNs of tasks that had stopped before the count was set. `lowers`: the count
    was set lower, so tasks that stop are no failure.
    """

    count: int = 0
    lowers: bool = False
    earlier_stops: frozenset[str] = frozenset()

    def watch(self) -> WatchResult:
        """Watch until there is a verdict; see `ops.ecs.watch.watch`."""
        try:
            return self.run()
        finally:
            self.display.close()

    def decision(self, service: ServiceState | None) -> Decision:
        observation = self.observe(service)
        return decide_count(
            replace(observation, stopped=()) if self.lowers else observation,
            self.id,
            self.count,
            self._targets_now(service),
            timeout_s=self.timeout_s,
        )

    def ignore_earlier_stops(self, service: ServiceState) -> None:
        self.ignored_stops = set(self.earlier_stops)

    def _targets_now(self, service: ServiceState | None) -> tuple[Target, ...] | None:
        """The targets, read as soon as all tasks run; None if they could not be read."""
        if service and service.load_balancers and service.running == self.count > 0:
            self.targets = self.try_read("targets", self.observer.targets, self.targets)
        unread = "targets" in self.failed_reads or "targets" in self.denied_reads
        return None if unread else self.targets
