"""The sample platform's Terraform: a small environment that owns both services' task definitions and the services themselves.

`environments/dev` beside this file is copied into the sample's checkout. It differs from a real platform's in two ways: everything around
the services (network, load balancer, roles, secret) was made by API calls and is only named in `platform.auto.tfvars.json`, and the
services, which `sandbox.up` makes too, are adopted by `import` blocks at the first apply. Whether Terraform can work here at all depends on
the machine: the program, and a provider that comes from the network, a mirror or a cache. That is found out by trying.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.sandbox.contracts import ACCOUNT, REGION, Paths, Ports
from ops.sandbox.seed.clients import Clients
from ops.sandbox.seed.names import CLUSTER, SHAPES, Shape

SOURCES = Path(__file__).parent
FOLDER = "terraform"                              # in the sample's checkout
DIRECTORY = f"{FOLDER}/environments/dev"
FACTS = "platform.auto.tfvars.json"
PATIENCE = {"auto": 8.0, "terraform": 60.0}       # seconds for `init` to fetch the provider
KEPT = (
    "PATH", "HOME", "LANG", "TMPDIR", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
)


@dataclass(frozen=True)
class Rollout:
    """Who rolls out here (`terraform` or `ecs`), and why, in one line. `overlay`: what `environment.yaml` says about it."""

    kind: str
    why: str
    overlay: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"rollout: {self.kind} ({self.why})"


def prepare(paths: Paths, ports: Ports, wanted: str = "auto") -> Rollout:
    """Put the environment into the checkout, say what stands around it, and try `init`; at most PATIENCE.

    Called when both services exist (healthy or not). `wanted`: `ecs` tries nothing. Never raises: whatever stands in Terraform's way is a
    reason for `ecs`.
    """
    try:
        directory = place(paths.platform)
        if wanted == "ecs":
            return Rollout("ecs", "as asked", {"rollout": "ecs"})
        program = shutil.which("terraform")
        if program is None:
            return ecs("there is no terraform on PATH")
        facts = json.dumps(describe(Clients(f"http://127.0.0.1:{ports.aws}")), indent=2)
        (directory / FACTS).write_text(facts + "\n")
        began = time.monotonic()
        problem = try_init(program, directory, PATIENCE[wanted])
    except Exception as error:     # the sandbox works without Terraform
        return ecs(f"{type(error).__name__}: {error}")
    if problem:
        return ecs(problem)
    return Rollout("terraform", f"init worked in {time.monotonic() - began:.1f} s", {"rollout": "terraform"})


def ecs(why: str) -> Rollout:
    return Rollout("ecs", f"not terraform: {why}", {"rollout": "ecs"})


def place(checkout: Path) -> Path:
    """Copy the environment into a checkout that has none; its directory. Where git does not know it, git is told to pass over it."""
    if not (checkout / FOLDER).exists():
        copy(checkout)
        exclude = checkout / ".git" / "info" / "exclude"
        if (checkout / ".git").is_dir():
            exclude.parent.mkdir(exist_ok=True)
            known = exclude.read_text() if exclude.exists() else ""
            exclude.write_text(known + ("" if f"/{FOLDER}/\n" in known else f"/{FOLDER}/\n"))
    return checkout / DIRECTORY


def copy(folder: Path) -> None:
    """The files of the environment below `folder` (for a checkout whose first commit is to hold them)."""
    shutil.copytree(SOURCES, folder / FOLDER, ignore=shutil.ignore_patterns("__pycache__", "*.py"))


def describe(clients: Clients) -> dict[str, Any]:
    """The variables of the environment that are no images, read from the services as they stand."""
    return {
        "cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}",
        **{shape.name: describe_service(clients, shape) for shape in SHAPES},
    }


def describe_service(clients: Clients, shape: Shape) -> dict[str, Any]:
    service = clients.ecs.describe_services(cluster=CLUSTER, services=[shape.service])["services"][0]
    definition = clients.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    balancer = service["loadBalancers"][0]
    container = next(each for each in definition["containerDefinitions"] if each["name"] == shape.name)
    return {
        "family": definition["family"],
        "task_definition": service["taskDefinition"],
        "cpu": definition["cpu"],
        "memory": definition["memory"],
        "execution_role": definition["executionRoleArn"],
        "task_role": definition["taskRoleArn"],
        "container": {key: value for key, value in container.items() if key != "image"},
        "service": service["serviceName"],
        "desired_count": service["desiredCount"],
        "grace": service["healthCheckGracePeriodSeconds"],
        "target_group": balancer["targetGroupArn"],
        "port": balancer["containerPort"],
        "subnets": network["subnets"],
        "security_groups": network["securityGroups"],
    }


def try_init(program: str, directory: Path, patience: float) -> str:
    """Fetch the provider, without the state's backend, which each `inv` initialises for itself; why that failed, or nothing."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    process = subprocess.Popen(
        [program, "init", "-backend=false", "-input=false", "-no-color"], cwd=directory, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        return f"its provider was not here after {patience:g} s"
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return "" if process.returncode == 0 else first_error(output)


def first_error(output: str) -> str:
    """The sentence after `Error:`."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    found = next((line for line in lines if line.startswith("Error:")), lines[-1] if lines else "init said nothing")
    return found.removeprefix("Error:").strip()
