"""The choice between Terraform and ECS for rollouts, made by trying `terraform init`.

The try runs during the start of everything else and is limited to that time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.sandbox.terraform import DIRECTORY, forget, place

PATIENCE = {"auto": 7.0, "terraform": 60.0}  # seconds for `init` to fetch the provider
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "TF_CLI_CONFIG_FILE",
    "TF_PLUGIN_CACHE_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
# before the name of a proxy variable: the supervisor is started without proxies, since its own
# parts need none
_OUTSIDE = "OUTSIDE_"


@dataclass(frozen=True)
class Rollout:
    """What rolls out here (`terraform` or `ecs`), with the reason in one line."""

    kind: str
    why: str

    @property
    def overlay(self) -> dict[str, Any]:
        """Return its settings for `environment.yaml`."""
        return {"rollout": self.kind}

    def __str__(self) -> str:
        return f"rollout: {self.kind} ({self.why})"


def _ecs(why: str) -> Rollout:
    return Rollout("ecs", f"not terraform: {why}")


@dataclass
class RolloutProbe:
    """One try of Terraform in a thread; any failure is a reason for `ecs`.

    With `wanted` = `ecs` nothing is tried.
    """

    checkout: Path
    wanted: str
    found: Future[Rollout] = field(default_factory=Future)
    process: subprocess.Popen[str] | None = None
    stopped: bool = False

    def begin(self, made: Future[Any]) -> None:
        """Start the try and return at once; it waits for the checkout `made`."""
        threading.Thread(target=self._run, args=(made,), name="terraform init", daemon=True).start()

    def result(self, clients: Any) -> Rollout:
        """Return the result, after writing Terraform's variables. Never raises."""
        from ops.sandbox.terraform import (
            facts,
        )  # here: it takes boto3 along, which the try does not wait for

        found = self.found.result()
        try:
            if found.kind == "terraform":
                facts.write(self.checkout / DIRECTORY, clients)
        except Exception as error:  # the sandbox works without Terraform
            return _ecs(f"{type(error).__name__}: {error}")
        return found

    def stop(self) -> None:
        """Stop a try in progress. Idempotent."""
        self.stopped = True
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _run(self, made: Future[Any]) -> None:
        try:
            made.result()
            self.found.set_result(self._look())
        except Exception as error:  # the sandbox works without Terraform
            self.found.set_result(_ecs(f"{type(error).__name__}: {error}"))

    def _look(self) -> Rollout:
        directory = place(self.checkout)
        forget(directory)
        if self.wanted == "ecs":
            return Rollout("ecs", "as requested")
        program = shutil.which("terraform")
        if program is None:
            return _ecs("terraform is not on PATH")
        began = time.monotonic()
        problem = self._init(program, directory, PATIENCE[self.wanted])
        return (
            _ecs(problem)
            if problem
            else Rollout("terraform", f"init worked in {time.monotonic() - began:.1f} s")
        )

    def _init(self, program: str, directory: Path, patience: float) -> str:
        """Fetch the provider without the backend; return why that failed, or nothing.

        Each `inv` initialises the backend for itself.
        """
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {
            name.removeprefix(_OUTSIDE): value
            for name, value in os.environ.items()
            if name.startswith(_OUTSIDE)
        }
        environment |= {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        self.process = process = subprocess.Popen(
            [program, "init", "-backend=false", "-input=false", "-no-color"],
            cwd=directory,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if self.stopped:
            self.stop()
        try:
            output, _ = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            return f"its provider was not installed after {patience:g} s"
        finally:
            self.stop()
            process.communicate()
        return "" if process.returncode == 0 else first_error(output)


def first_error(output: str) -> str:
    """Return the sentence after `Error:`."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    found = next(
        (line for line in lines if line.startswith("Error:")),
        lines[-1] if lines else "init printed nothing",
    )
    return found.removeprefix("Error:").strip()
