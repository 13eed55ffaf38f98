"""Errors that Invoke finds in a command line, as three lines and exit code 2.

Invoke reports them in one line with exit code 1, some of them by the name of a Python object."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from invoke.exceptions import CollectionNotFound, Exit, ParseError
from invoke.parser.context import ParserContext

from ops.core.config.problems import shortened
from ops.core.errors import ConfigError
from ops.tasks.arguments import dash_value, option_name
from ops.tasks.command_line.help_page import placeholder
from ops.tasks.command_line.listing import HELP

UNKNOWN = re.compile(r"No idea what (.*) is!", re.DOTALL)
WITHOUT_VALUE = re.compile(r"Flag <\w+: ([\w-]+).*needed value")
MISSING = re.compile(r"'(.*)' did not receive required positional arguments: (.*)")
Contexts = Mapping[str, ParserContext]


def unknown_word(error: ParseError) -> str | None:
    """The word that is neither a task nor an option; None for another mistake."""
    found = UNKNOWN.fullmatch(str(error))
    return str(ast.literal_eval(found[1])) if found else None


def explain(error: ParseError, words: Sequence[str], contexts: Contexts) -> ConfigError:
    """The three lines of a parser's error.

    `words`: what was parsed; `contexts`: every task's name with its options.
    """
    task = getattr(error.context, "name", None)
    message = str(error)
    word = unknown_word(error)
    if word is not None:
        if word.startswith("-"):
            return _unknown_option(word, task, words, error.context, contexts)
        return _unknown_word(word, task, words, contexts)
    if found := WITHOUT_VALUE.match(message):
        option = f"--{option_name(found[1])}"
        value = _dash_value(option, words)
        if task and value:
            return dash_value(task, option, value)
        how = f"inv {task} {option} {_value_word(option)}" if task else _core_usage(option)
        follows = any(name == option and text.startswith("-") for name, text in pairwise(words))
        why = "it needs a value" + (", and a value cannot begin with -" if follows else "")
        return ConfigError(option, why, how)
    if found := MISSING.fullmatch(message):
        names = [name.strip(" '") for name in found[2].split(",")]
        why = f"{found[1]} needs {', '.join(names)}, typed after its name"
        values = " ".join(name.upper() for name in names)
        return ConfigError(
            f"{found[1]} without {', '.join(names)}", why, f"inv {found[1]} {values}"
        )
    return explain_message(message)


def _core_usage(option: str) -> str:
    """How an option of the program is typed, by its help."""
    ends = option in ("--list-format", "--list-depth", "--print-completion-script")
    return f"inv {option} {_value_word(option)}{'' if ends else ' TASK'}"


def _value_word(option: str) -> str:
    """The word for its value, as help prints it."""
    name = option.removeprefix("--")
    return HELP[name][0] if name in HELP else placeholder(name)


def _dash_value(option: str, words: Sequence[str]) -> str:
    """The value of `option=-x`, which Invoke takes for an option of its own; "" without one."""
    given = (word.partition("=") for word in words)
    return next((text for name, _, text in given if name == option and text[:1] == "-"), "")


def explain_message(message: str) -> ConfigError:
    """The three lines of an error that Invoke reports in one."""
    return ConfigError("the command line", message.rstrip("!"), "inv --help, inv --list")


def explain_collection(error: Exit) -> ConfigError:
    """The error for a `-c NAME`, or a `-r FOLDER`, where Invoke finds no tasks."""
    missing = error.__context__
    if not isinstance(missing, CollectionNotFound):
        return explain_message(error.message or str(error))
    name = shortened(str(missing.name))
    why = f"there is no {name}.py in {missing.start} or a folder above it"
    return ConfigError(f"task collection {name} (-c, -r)", why, "leave out -c and -r: inv --list")


def listed_namespace(name: str) -> ConfigError:
    """The error for a namespace in place of a task, after its tasks were printed."""
    what = f"{name} is a namespace, not a task"
    return ConfigError(what, "its tasks are listed above", f"inv {name}.TASK")


def unknown_task(name: str, contexts: Contexts) -> ConfigError:
    """The error for a name that is not a task's: the tasks of a namespace, or the nearest tasks."""
    inside = [path for path in contexts if path.startswith(f"{name}.")]
    if inside:
        why = f"its tasks are: {', '.join(inside)}"
        how = f"inv {inside[0]} --help, or the help of another one"
        return ConfigError(f"{name} is a namespace, not a task", why, how)
    same = [path for path in contexts if path.rpartition(".")[2] == name]
    words = [path for path in contexts if ("." in path) == ("." in name)]
    near = same or get_close_matches(name, words, n=1)
    what = f"unknown task {shortened(name) or repr(name)}"
    how = f"did you mean {' or '.join(near)}?" if near else _near_namespace(name, contexts)
    return ConfigError(what, "there is no task with that name", how)


def _near_namespace(name: str, contexts: Contexts) -> str:
    """The command that lists the namespace with the nearest name, else all of them."""
    near = get_close_matches(name.partition(".")[0], _namespaces(contexts), n=1)
    return f"did you mean inv --list {near[0]}?" if near else "inv --list"


def _namespaces(contexts: Contexts) -> list[str]:
    return sorted({path.rpartition(".")[0] for path in contexts} - {""})


def unknown_namespace(name: str, contexts: Contexts) -> ConfigError:
    """The error for `--list NAME`."""
    known, how = _namespaces(contexts), _near_namespace(name, contexts)
    if name == "--json":
        return ConfigError("--list --json", "--json is an option of tasks", "inv --list -F json")
    what = f"unknown namespace {shortened(name)} (--list)"
    return ConfigError(what, f"known are: {', '.join(known)}", how)


def _unknown_word(
    word: str, task: str | None, words: Sequence[str], contexts: Contexts
) -> ConfigError:
    """A word that is neither an option nor a task; `--json=yes` arrives as two words."""
    if task:
        for given in words:
            option, equals, value = given.partition("=")
            if equals and value == word and option in _options(contexts[task]):
                what = f"{option} of {task} with a value"
                return ConfigError(what, f"{option} takes no value", f"inv {task} {option}")
    return unknown_task(word, contexts)


def _unknown_option(
    word: str, task: str | None, words: Sequence[str], context: Any, contexts: Contexts
) -> ConfigError:
    label = _as_typed(word, words)
    owners = [path for path in contexts if word in _options(contexts[path])]
    named = next((given for given in words if given in contexts), None)
    if task is None and owners:
        what = f"{label} before a task"
        how = f"inv {named or 'TASK'} {word}"
        return ConfigError(what, "a task's options follow its name", how)
    known = _options(context) if context else []
    candidates = [*known, *(_options(contexts[named]) if named and not task else [])]
    if len(word) > 2:
        near = get_close_matches(word, candidates, n=1)
    else:  # tasks have no short options: offer the long ones with the letters
        near = [option for option in known if option[:2] == "--" and option[2:3] in label[1:]]
    own = ", ".join(option for option in known if option.startswith("--")) or "--help"
    why = f"its options are: {own}" if task else "it is no option, neither of inv nor of a task"
    how = f"did you mean {' or '.join(near)}?" if near else f"inv {task} --help"
    if not near and not task:
        how = "inv --help"
    return ConfigError(f"unknown option {label} of {task or 'inv'}", why, how)


def _as_typed(word: str, words: Sequence[str]) -> str:
    """The option as typed: `-t` may be part of `-ty`. A value after `=` is left out."""
    for given in words:
        option = given.partition("=")[0]
        if option == word or (
            len(word) == 2 and re.fullmatch(r"-[A-Za-z]+", option) and word[1] in option
        ):
            return shortened(option)
    return shortened(word)


def _options(context: ParserContext) -> list[str]:
    return [*_names(context.flags), *_names(context.inverse_flags)]


def _names(flags: Iterable[str]) -> list[str]:
    return [str(flag) for flag in flags]
