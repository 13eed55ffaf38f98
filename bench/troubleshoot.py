"""`inv troubleshoot.all` beside the runbook's section 7, typed one command after the other.

python -m bench.troubleshoot [ROUNDS]

A sandbox with a stopped database, 80 ms to AWS and to every page; whole processes, interleaved
rounds, medians. Two ratios: the runbook's diagnosis commands to `inv troubleshoot.all` (more is
better), and `inv troubleshoot.all` to `inv health.all` (the target is a sweep and 2 s). The
runbook's side is its seven commands; ids that an operator looks up are given to them. The clients
are those of `bench.health`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.health import AWAY, CLUSTER, SERVICES, Ground, prepare

FAULT, CAUSE = "database-stopped", "database_stopped"


@dataclass(frozen=True)
class Round:
    """Seconds of whole processes."""

    runbook: float
    diagnosis: float
    sweep: float


class Incident(Ground):
    """A sandbox with one fault."""

    def runbook(self) -> list[list[str]]:
        """The diagnosis commands of the runbook's section 7, in its order."""
        elb = self.client("elbv2")
        group = elb.describe_target_groups(Names=["dev-backend-tg"])["TargetGroups"][0]
        ecs = self.client("ecs")
        tasks = ecs.list_tasks(cluster=CLUSTER, serviceName=f"dev-davidshaevel-{SERVICES[0]}")
        return [
            self.aws("ecs", "describe-tasks", cluster=CLUSTER, tasks=tasks["taskArns"][:1]),
            self.aws("ecr", "describe-images", repositoryName="davidshaevel/backend"),
            self.aws("elbv2", "describe-target-health", TargetGroupArn=group["TargetGroupArn"]),
            self.tail("/ecs/dev-davidshaevel/backend"),
            self.page(self.overlay["site"] + "/"),
            self.aws("rds", "describe-db-instances", DBInstanceIdentifier="davidshaevel-dev-db"),
            self.aws(
                "secretsmanager", "get-secret-value", SecretId="dev-davidshaevel-db-credentials"
            ),
        ]

    def diagnose(self, task: str) -> tuple[float, dict[str, Any]]:
        """Seconds of `inv TASK --json`, and its document, whatever its exit code is."""
        import subprocess

        began = time.perf_counter()
        command = [sys.executable, "-m", "invoke", "--search-root", str(self.root), task, "--json"]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, check=False
        )
        return time.perf_counter() - began, json.loads(done.stdout)

    def round(self) -> Round:  # type: ignore[override]
        diagnosis, found = self.diagnose("troubleshoot.all")
        first = found["findings"][0]["cause"] if found["findings"] else "nothing"
        if first != CAUSE:
            raise SystemExit(f"expected {CAUSE} first, found {first}")
        runbook = sum(self.seconds(command)[0] for command in self.runbook())
        return Round(runbook, diagnosis, self.diagnose("health.all")[0])


def report(rounds: Sequence[Round]) -> None:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in rounds))

    print(f"medians of {len(rounds)} interleaved rounds, {AWAY * 1000:.0f} ms to AWS and pages")
    print(f"inv troubleshoot.all: {middle('diagnosis'):.2f} s, with the cause first")
    print(
        f"the runbook's section 7, 7 commands: {middle('runbook'):.2f} s: ratio "
        f"{middle('runbook') / middle('diagnosis'):.2f}"
    )
    print(
        f"inv health.all: {middle('sweep'):.2f} s; the diagnosis takes "
        f"{middle('diagnosis') - middle('sweep'):+.2f} s: ratio "
        f"{middle('diagnosis') / middle('sweep'):.2f}"
    )


def main(count: int) -> None:
    from ops.sandbox import faults, lifecycle
    from ops.sandbox.contracts import Timing

    with tempfile.TemporaryDirectory(prefix="bench-troubleshoot-") as home:
        root = Path(home)
        prepare(root)
        try:
            lifecycle.up(root / ".sandbox", rollout="ecs", timing=Timing(latency=AWAY))
            incident = Incident(root)
            incident.settle()
            faults.send_request(root / ".sandbox", "break", FAULT)
            report([incident.round() for _ in range(count)])
        finally:
            lifecycle.down(root / ".sandbox", purge=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
