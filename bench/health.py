"""What `inv health.all` costs beside the runbook's section 5, typed one command after the other;
with AWS and every page 80 ms away.

python -m bench.health [ROUNDS]

A sandbox of its own, whole processes, interleaved rounds, medians. The ratios: the sweep to the
slowest probe in it (target: at most
1.2), the sweep to that probe's group asked alone, the
runbook's commands to the whole `inv health.all` (target: at least 10; most of it is
Python that loads AWS's and PostgreSQL's libraries, as each `aws` does), and to a later sweep of its
`--watch`, which has them loaded. The runbook's side is its fourteen commands and no more: target
groups, log groups and the database's password, which an operator has to look up, are given to them.
curl, aws and psql are this machine's; for one that is not there the same call is made by a Python
process of its own. `logs tail` is of aws 2 alone; elsewhere it is `logs filter-log-events`. What
was used is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("ops", "alembic", "tasks.py", "invoke.yaml", "alembic.ini")
AWAY = 0.08  # seconds
WELL_WITHIN = 60.0  # seconds until the first sweep is green
CLUSTER, SERVICES = "dev-davidshaevel-cluster", ("backend", "frontend")
PAGES = ("/", "/about", "/projects", "/contact", "/health", "/api/health", "/api/projects")
HEAD = (
    "import sys, urllib.request as r; r.urlopen(r.Request(sys.argv[1], method='HEAD'), timeout=10)"
)
# from PG* variables, as psql
SELECT = "import psycopg; print(psycopg.connect('').execute('SELECT 1').fetchone())"
CALL = """
import json, sys, boto3
endpoint, service, operation, words = sys.argv[1:]
client = boto3.client(service, endpoint_url=endpoint)
print(json.dumps(getattr(client, operation)(**json.loads(words)), default=str))
"""


@dataclass(frozen=True)
class Round:
    """Seconds: of whole processes, but `sweep`, `slowest` (the slowest probe in it), `alone` (its
    group's sweep) and `later` are took_s.
    """

    runbook: float
    process: float
    sweep: float
    slowest: float
    alone: float
    group: str
    later: float


@dataclass(frozen=True)
class Ground:
    """A checkout whose sandbox is up."""

    root: Path

    @cached_property
    def overlay(self) -> dict[str, Any]:
        import yaml

        found: dict[str, Any] = yaml.safe_load(
            (self.root / ".sandbox" / "environment.yaml").read_text(encoding="utf-8")
        )
        return found

    @cached_property
    def keys(self) -> dict[str, str]:
        found = self.overlay["aws"]
        return {
            "aws_access_key_id": found["access_key"],
            "aws_secret_access_key": found["secret_key"],
        }

    def client(self, service: str) -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.overlay["aws"]["endpoint"],
            region_name="us-east-1",
            **self.keys,
        )

    @cached_property
    def environment(self) -> dict[str, str]:
        """The clients' environment: the sandbox's keys, and libpq's variables for who asks from
        inside of the platform's network.
        """
        stored = self.client("secretsmanager").get_secret_value(
            SecretId="dev-davidshaevel-db-credentials"
        )
        values = json.loads(stored["SecretString"])
        database = {
            "HOST": values["host"],
            "HOSTADDR": "127.0.0.1",
            "PORT": str(values["port"]),
            "DATABASE": values["dbname"],
        }
        login = {"USER": values["username"], "PASSWORD": values["password"]}
        return {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AWS_", "INVOKE_", "PG", "PYTHON"))
            },
            **{name.upper(): value for name, value in self.keys.items()},
            **{f"PG{name}": value for name, value in {**database, **login}.items()},
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PAGER": "",
        }

    @cached_property
    def versions(self) -> dict[str, str]:
        """What each of the runbook's clients says of itself; one that is not here, or does not run,
        is missing.
        """
        found = {}
        for name in ("curl", "aws", "psql"):
            if shutil.which(name):
                done = subprocess.run(
                    [name, "--version"],
                    env=self.environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode == 0:
                    found[name] = " ".join(done.stdout.split()[:3])
        return found

    def commands(self) -> list[list[str]]:
        """The runbook's section 5, line by line."""
        names, elb = [f"dev-davidshaevel-{name}" for name in SERVICES], self.client("elbv2")
        groups = [
            elb.describe_target_groups(Names=[f"dev-{name}-tg"])["TargetGroups"][0][
                "TargetGroupArn"
            ]
            for name in SERVICES
        ]
        return [
            *(self.page(self.overlay["site"] + path) for path in PAGES),
            self.aws("ecs", "describe-clusters", clusters=[CLUSTER]),
            self.aws("ecs", "describe-services", cluster=CLUSTER, services=names),
            *(
                self.aws("elbv2", "describe-target-health", TargetGroupArn=group)
                for group in groups
            ),
            ["psql", "-c", "SELECT 1;"]
            if "psql" in self.versions
            else [sys.executable, "-c", SELECT],
            *(self.tail(f"/ecs/dev-davidshaevel/{name}") for name in SERVICES),
        ]

    def page(self, address: str) -> list[str]:
        return (
            ["curl", "-sSfI", address]
            if "curl" in self.versions
            else [sys.executable, "-c", HEAD, address]
        )

    def tail(self, group: str) -> list[str]:
        if self.versions.get("aws", "").startswith("aws-cli/2"):
            return [
                "aws",
                "--endpoint-url",
                self.overlay["aws"]["endpoint"],
                "logs",
                "tail",
                group,
                "--since",
                "5m",
            ]
        return self.aws(
            "logs",
            "filter-log-events",
            logGroupName=group,
            startTime=int((time.time() - 300) * 1000),
        )

    def aws(self, service: str, operation: str, **words: Any) -> list[str]:
        endpoint = self.overlay["aws"]["endpoint"]
        if "aws" not in self.versions:
            return [
                sys.executable,
                "-c",
                CALL,
                endpoint,
                service,
                operation.replace("-", "_"),
                json.dumps(words),
            ]
        options = [
            [f"--{kebab(name)}", *(value if isinstance(value, list) else [str(value)])]
            for name, value in words.items()
        ]
        return [
            "aws",
            "--endpoint-url",
            endpoint,
            service,
            operation,
            *(word for option in options for word in option),
        ]

    def seconds(self, command: Sequence[str]) -> tuple[float, str]:
        """One whole process, and what it wrote. Raises SystemExit where it failed."""
        began = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        taken = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return taken, done.stdout

    def sweep(self, task: str) -> tuple[float, dict[str, Any]]:
        """`inv TASK`: seconds, and its document. Raises SystemExit where it is not all green."""
        taken, said = self.seconds(
            [sys.executable, "-m", "invoke", "--search-root", str(self.root), task, "--json"]
        )
        return taken, json.loads(said)

    def round(self) -> Round:
        process, found = self.sweep("health.all")
        runbook = sum(self.seconds(command)[0] for command in self.commands())
        slowest = max(found["checks"], key=lambda check: check["took_s"])
        _, alone = self.sweep(f"health.{slowest['group']}")
        return Round(
            runbook,
            process,
            found["took_s"],
            slowest["took_s"],
            alone["took_s"],
            slowest["group"],
            self.later(),
        )

    def later(self) -> float:
        """The third sweep of a `--watch`: what one takes once the program is loaded."""
        command = [
            sys.executable,
            "-m",
            "invoke",
            "--search-root",
            str(self.root),
            "health.all",
            "--watch",
            "1",
            "--json",
        ]
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as watching:
            assert watching.stdout
            line = [watching.stdout.readline() for _ in range(3)][-1]
            watching.send_signal(signal.SIGINT)
            watching.communicate()
        return float(json.loads(line)["took_s"])

    def settle(self) -> None:
        """Until all is green: the bytecode is written by then too."""
        ends = time.monotonic() + WELL_WITHIN
        while True:
            try:
                self.sweep("health.all")
                return
            except SystemExit:
                if time.monotonic() > ends:
                    raise
                time.sleep(1)


def kebab(name: str) -> str:
    """`--target-group-arn` of TargetGroupArn."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def prepare(root: Path) -> None:
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / part, root / part)


def report(rounds: Sequence[Round], versions: dict[str, str]) -> None:
    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in rounds))

    def ratio(one: str, other: str) -> float:
        return float(
            statistics.median(getattr(each, one) / getattr(each, other) for each in rounds)
        )

    groups = ", ".join(sorted({each.group for each in rounds}))
    used = [
        versions.get(name, otherwise)
        for name, otherwise in (("curl", "urllib"), ("aws", "boto3"), ("psql", "psycopg"))
    ]
    print(
        f"medians of {len(rounds)} interleaved rounds, {AWAY * 1000:.0f} ms to AWS and to "
        f"every page"
    )
    print(f"the sweep {middle('sweep'):.2f} s")
    print(
        f"its slowest probe ({groups}): {middle('slowest'):.2f} s: ratio "
        f"{ratio('sweep', 'slowest'):.2f}"
    )
    print(
        f"a sweep of that probe's group alone: {middle('alone'):.2f} s: ratio "
        f"{ratio('sweep', 'alone'):.2f}"
    )
    print(f"the runbook's section 5, 14 processes ({'; '.join(used)}): {middle('runbook'):.2f} s")
    print(
        f"inv health.all, the whole process: {middle('process'):.2f} s: ratio "
        f"{ratio('runbook', 'process'):.2f}"
    )
    print(
        f"a later sweep of its --watch: {middle('later'):.2f} s: ratio "
        f"{ratio('runbook', 'later'):.2f}"
    )


def main(count: int) -> None:
    from ops.sandbox import lifecycle
    from ops.sandbox.contracts import Timing

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    with tempfile.TemporaryDirectory(prefix="bench-health-") as home:
        root = Path(home)
        prepare(root)
        try:
            lifecycle.up(root / ".sandbox", rollout="ecs", timing=Timing(latency=AWAY))
            ground = Ground(root)
            ground.settle()
            report([ground.round() for _ in range(count)], ground.versions)
        finally:
            lifecycle.down(root / ".sandbox", purge=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
