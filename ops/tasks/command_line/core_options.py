"""Invoke's core options that configure `c.run`, which no task uses.

`--dry` is taken for `--plan`; a task without `--plan` refuses it. The others are refused by name,
instead of being ignored. Only the command line counts for these: ~/.invoke.yaml may set `run.echo`
for other projects. `run.dry` counts wherever it is set, because a deploy that was meant to be dry
must not run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from ops.core.config.problems import shortened
from ops.core.errors import ConfigError

NO_EFFECT = {  # the option, and what to type instead
    ("run", "echo"): ("-e/--echo", "inv {path} --help"),
    ("run", "hide"): ("--hide", "inv {path} 2>/dev/null"),
    ("run", "pty"): ("-p/--pty", "inv {path}, or inv SERVICE.exec for a terminal in a container"),
    ("run", "warn"): ("-w/--warn-only", "inv {path} || true"),
    ("sudo", "password"): ("--prompt-for-sudo-password", "inv {path}"),
    ("timeouts", "command"): ("-T/--command-timeout", "inv {path}"),
}
INSTEAD = {"echo": ("plan", "inv {path} --plan"), "command": ("timeout", "inv {path} --timeout 5m")}


def refuse_second_environment(words: Sequence[str]) -> None:
    """Raise ConfigError for a second `--env`, which Invoke would not take for one."""
    words = words[: words.index("--")] if "--" in words else words
    if sum(word.partition("=")[0] == "--env" for word in words) > 1:
        why = "all tasks of a command line act in one environment"
        raise ConfigError("--env given twice", why, "leave one of them out")


def check_environment(name: str, known: Sequence[str]) -> None:
    """Raise ConfigError for an `--env NAME` that is not configured."""
    if name in known:
        return
    if not name:
        raise ConfigError("--env", "its value is empty", "inv --env NAME TASK")
    near = get_close_matches(name, known, n=1)
    how = f"did you mean --env {near[0]}?" if near else "add it under environments: in invoke.yaml"
    why = f"configured are: {', '.join(sorted(known)) or 'none'}"
    raise ConfigError(f"--env {shortened(name)}", why, how)


def check_core_options(config: Any, path: str, options: tuple[str, ...]) -> bool:
    """Whether to plan only (`--dry`). Raises ConfigError (exit code 2) for an option that has no
    effect on the task `path`.
    """
    given = config._overrides  # what Invoke's parser found on the command line
    for (section, key), (label, how) in NO_EFFECT.items():
        if key in given.get(section, {}):
            option, better = INSTEAD.get(key, ("", ""))
            why = "this option of Invoke has no effect on the tasks of this project"
            how = better if option in options else how
            raise ConfigError(f"{label} with {path}", why, how.format(path=path))
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
