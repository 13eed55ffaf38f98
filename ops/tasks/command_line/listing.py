"""The lists of tasks that `inv --list` prints, and the help of the core options."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from ops.core.invocation import invocation

NAME = "ecs-runbook"
_OWN = (
    "cdn",
    "db",
    "health",
    "lock",
    "tf",
    "env",
    "troubleshoot",
    "sandbox",
    "dev",
)  # as they are listed
# Invoke's options for `c.run`, which no task uses: refused, see core_options
HIDDEN = (
    "--command-timeout",
    "--complete",
    "--dry",
    "--echo",
    "--hide",
    "--no-dedupe",
    "--prompt-for-sudo-password",
    "--pty",
    "--warn-only",
    "--write-pyc",
)
HELP = {
    "collection": ("NAME", "Module to load the tasks from, instead of tasks.py."),
    "config": ("FILE", "Configuration file that overrides all others."),
    "debug": ("", "Print Invoke's own debug messages."),
    "env": ("NAME", "Environment to act on. Default: INVOKE_ENV, else `env` of the configuration."),
    "help": ("[TASK]", "Print this page, or a task's."),
    "list": ("[NAMESPACE]", "List the namespaces, or the tasks of one."),
    "list-depth": ("N", "Levels that --list prints."),
    "list-format": ("FORMAT", "Format of --list: flat, nested or json."),
    "print-completion-script": ("SHELL", "Print the completion script for bash, zsh or fish."),
    "search-root": ("FOLDER", "Folder in which to look for tasks.py."),
    "version": ("", "Print the version."),
}
_SHORT = {
    "collection": "-c, ",
    "config": "-f, ",
    "debug": "-d, ",
    "help": "-h, ",
    "list": "-l, ",
    "list-depth": "-D, ",
    "list-format": "-F, ",
    "search-root": "-r, ",
    "version": "-V, ",
}


def version() -> str:
    """This tool's version, and those of what it runs on."""
    from invoke._version import __version__

    from ops import __version__ as own

    return f"{NAME} {own} (Invoke {__version__}, Python {sys.version.split()[0]})"


def width() -> int | None:
    """Columns to fit into; None where the output is no terminal: nothing is cut."""
    import shutil

    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return max(shutil.get_terminal_size().columns, 40)
    return None


def overview(collection: Any) -> str:
    """The tasks without a namespace, and a line for each namespace."""
    rows = [(name, first_line(task)) for name, task in sorted(collection.tasks.items())]
    spaces = collection.collections
    order = [*sorted(set(spaces) - set(_OWN)), *(name for name in _OWN if name in spaces)]
    rows += [(f"{name}.*", first_line(spaces[name])) for name in order]
    hints = [
        (command("--list db"), "the tasks of db"),
        (command("db.upgrade --help"), "its options, examples and exit codes"),
        (command("--list -F flat"), "every task"),
    ]
    usage = f"usage: {command('[--env NAME] TASK [OPTIONS] [TASK [OPTIONS] ...]')}"
    return "\n".join([usage, "", *columns(rows), "", *columns(hints, indent="")])


def namespace(collection: Any, name: str) -> str:
    """The tasks of a namespace, one on each line."""
    rows = [
        (f"{name}.{task}", first_line(collection.tasks[task])) for task in sorted(collection.tasks)
    ]
    hint = f"{command(f'{rows[0][0]} --help')}: its options, examples and exit codes"
    return "\n".join([first_line(collection), "", *columns(rows), "", hint])


def core_help() -> str:
    """The help of the options that are not a task's."""
    rows = [
        (f"{_SHORT.get(name, '    ')}--{name} {value}".rstrip(), text)
        for name, (value, text) in HELP.items()
    ]
    usage = f"usage: {command('[--env NAME] TASK [OPTIONS] [TASK [OPTIONS] ...]')}"
    ends = [
        (command("--list"), "the namespaces"),
        (command("TASK --help"), "options, examples and exit codes of a task"),
    ]
    head = [usage, "", "Options before or after a task:", *wrapped(rows)]
    return "\n".join([*head, "", *columns(ends, indent="")])


def command(words: str) -> str:
    """A command line of this program, as it is typed here."""
    return f"{invocation.program} {words}"


def columns(rows: list[tuple[str, str]], indent: str = "  ") -> list[str]:
    """Lines of two columns; the second one is cut where the terminal ends."""
    left = max(len(name) for name, _ in rows)
    limit = width()
    room = limit - left - len(indent) - 3 if limit else None
    return [f"{indent}{name:<{left}}  {_cut(text, room)}".rstrip() for name, text in rows]


def wrapped(rows: list[tuple[str, str]]) -> list[str]:
    """Lines of two columns; the second one continues on the next line."""
    import textwrap

    left = max(len(name) for name, _ in rows)
    lines = []
    for name, text in rows:
        first, *rest = textwrap.wrap(text, max((width() or 100) - left - 5, 20)) or [""]
        lines.append(f"  {name:<{left}}  {first}".rstrip())
        lines += [f"  {'':<{left}}  {line}" for line in rest]
    return lines


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a docstring, wrapped and indented."""
    import textwrap

    lines: list[str] = []
    for each in text.split("\n\n"):
        words = " ".join(each.split())
        lines += ["", *textwrap.wrap(words, (width() or 100) - 2)]
    return [f"  {line}".rstrip() for line in lines[1:]]


def _cut(text: str, room: int | None) -> str:
    if room is None or len(text) <= room:
        return text
    return text[: room - 1].rpartition(" ")[0].rstrip(",;:") + " …"


def first_line(listed: Any) -> str:
    """The first line of a docstring, without the namespace that a module's begins with."""
    text = (listed.__doc__ or "").strip().partition("\n")[0]
    text = re.sub(r"^`[^`]*`: ", "", text).rstrip(".")
    return text[:1].upper() + text[1:]
