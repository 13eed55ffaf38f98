"""The page that `inv TASK --help` prints: description, options, examples, exit codes, docs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from invoke.parser.argument import Argument

from ops.core.invocation import invocation
from ops.tasks.arguments import option_name
from ops.tasks.command_line import listing
from ops.tasks.command_line.examples import examples_of

if TYPE_CHECKING:
    from ops.tasks.arguments import OpsTask

_PAGES = {
    "preflight": "docs/preflight.md",
    "status": "docs/status.md",
    "cdn": "docs/cdn.md",
    "db": "docs/migrations.md",
    "env": "docs/configuration.md",
    "health": "docs/health.md",
    "lock": "docs/team.md",
    "tf": "docs/terraform.md",
    "troubleshoot": "docs/findings.md",
    "sandbox": "docs/sandbox.md",
    "dev": "CONTRIBUTING.md",
}
_SERVICE_PAGES = {"logs": "docs/logs.md", "status": "docs/status.md", "releases": "docs/team.md"}
_ROLLOUTS = ("deploy", "restart", "rollback", "scale", "watch")
_MEANINGS = {
    0: "done",
    1: "failed, and not undone",
    2: "bad configuration or argument",
    3: "refused: a check, a lock, or an answer of no",
    4: "rolled back",
    5: "superseded by a newer deployment",
    6: "timed out",
    130: "interrupted",
}
_FAILURES = {  # what 1 means where it is a result: by task, or for a whole namespace
    "status": "a service is not healthy, or unknown",
    "SERVICE.status": "not healthy, or unknown",
    "SERVICE.run": "failed, or the command's own exit code",
    "SERVICE.exec": "failed, or the plugin's exit code",
    "cdn.check": "a finding, or unknown",
    "db.current": "the schema differs from its revision",
    "db.lint": "a revision is blocked",
    "dev.check": "a finding",
    "env.check": "something is different, or unknown",
    "health": "a check failed, or is unknown",
    "sandbox.status": "not ready",
    "tf.drift": "something was changed outside of Terraform",
    "troubleshoot": "something is wrong, or unknown",
}
_PLACEHOLDERS = {
    "timeout": "DURATION",
    "lock-wait": "DURATION",
    "watch": "SECONDS",
    "since": "TIME",
    "until": "TIME",
    "grep": "TEXT",
    "allow-destroy": "ADDRESS",
    "target": "ADDRESS",
    "skip": "NAME",
    "only": "GROUP",
    "from-sql": "FILE",
    "save": "PATH",
    "from": "PATH",
    "limit": "N",
    "count": "N",
    "to": "TARGET",
}


def render(task: OpsTask, path: str) -> str:
    """The whole help page of the task with this path, such as `backend.deploy`."""
    arguments = task.get_arguments()
    positional = [each for each in arguments if each.positional]
    usage = " ".join([path, *(_word(each) for each in positional), "[OPTIONS]"])
    lines = [f"usage: {listing.command(usage)}", ""]
    lines += listing.paragraphs(inspect.getdoc(task) or "")
    for title, group in (
        ("Arguments", positional),
        ("Options", [each for each in arguments if not each.positional]),
    ):
        if group:
            rows = [(_spec(each), each.help or "") for each in sorted(group, key=_order)]
            lines += ["", f"{title}:", *listing.wrapped(rows)]
    lines += ["", "Examples:"]
    lines += [f"  {invocation.as_typed(f'inv {each}')}" for each in examples_of(path)]
    lines += ["", "Exit codes:"]
    lines += [f"  {code:<3}  {meaning}" for code, meaning in exit_codes(task, path).items()]
    return "\n".join([*lines, "", f"Documentation: {page(path)}"])


def page(path: str) -> str:
    """The page of the documentation for a task."""
    space, _, name = path.rpartition(".")
    return _PAGES.get(space or name) or _SERVICE_PAGES.get(name, "docs/deploy.md")


def exit_codes(task: OpsTask, path: str) -> dict[int, str]:
    """The exit codes of a task and their meanings."""
    space, _, name = path.rpartition(".")
    options = {option_name(each.name) for each in task.get_arguments()}
    codes = [0, 1, 2, 3, 130]
    if "timeout" in options:
        codes.append(6)
    of_service = bool(space) and space not in _PAGES
    if of_service and name in _ROLLOUTS:
        codes += [4, 5, 6]
    found = {code: _MEANINGS[code] for code in sorted(set(codes))}
    failure = _FAILURES.get(f"SERVICE.{name}" if of_service else path) or _FAILURES.get(space)
    return {**found, 1: failure} if failure else found


def _order(argument: Argument) -> str:
    return str(argument.name)


def _spec(argument: Argument) -> str:
    if argument.positional:
        return _word(argument)
    label = f"--{option_name(argument.name)}"
    return f"{label} {_word(argument)}" if argument.takes_value else label


def _word(argument: Argument) -> str:
    return placeholder(option_name(argument.name))


def placeholder(name: str) -> str:
    """The word for the value of an option: DURATION for `lock-wait`, TAG for `tag`."""
    return _PLACEHOLDERS.get(name) or name.rpartition("-")[2].upper()
