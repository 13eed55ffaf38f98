"""Invoke's core options that configure `c.run`, which no task uses.

`--dry` is taken for `--plan`; a task without `--plan` refuses it. The others are refused by name,
instead of being ignored. Only the command line counts for these: ~/.invoke.yaml may set `run.echo`
for other projects. `run.dry` counts wherever it is set, because a deploy that was meant to be dry
must not run."""

from __future__ import annotations

import os
from typing import Any

from ops.core.errors import ConfigError

NO_EFFECT = {
    ("run", "echo"): "-e/--echo",
    ("run", "hide"): "--hide",
    ("run", "pty"): "-p/--pty",
    ("run", "warn"): "-w/--warn-only",
    ("sudo", "password"): "--prompt-for-sudo-password",
    ("timeouts", "command"): "-T/--command-timeout",
}


def check_core_options(config: Any, path: str, options: tuple[str, ...]) -> bool:
    """Whether to plan only (`--dry`). Raises ConfigError (exit code 2) for an option that has no
    effect on the task `path`.
    """
    given = config._overrides  # what Invoke's parser found on the command line
    for (section, key), label in NO_EFFECT.items():
        if key in given.get(section, {}):
            command = (
                f"inv {path} --timeout 5m"
                if key == "command" and "timeout" in options
                else f"inv {path}"
            )
            raise ConfigError(
                f"{label} with {path}",
                "this option of Invoke has no effect on the tasks of this project",
                command,
            )
    dry = bool(config["run"]["dry"])
    if dry and "plan" not in options:
        where = (
            "INVOKE_RUN_DRY" if "INVOKE_RUN_DRY" in os.environ else "run.dry in the configuration"
        )
        label = "--dry" if "dry" in given.get("run", {}) else where
        why = f"{path} has no --plan, so it cannot be run without effect"
        raise ConfigError(
            f"{label} with {path}", why, f"inv {path} --help, or run it without {label}"
        )
    return dry
