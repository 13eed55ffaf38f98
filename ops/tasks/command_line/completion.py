"""What can follow a command line that is being typed: tasks, options and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext

from ops.tasks.arguments import option_name

Contexts = Mapping[str, ParserContext]
Values = Callable[[str, str, str], Iterable[str]]  # of (task, option, environment)


@dataclass
class Typed:
    """What the words before the one being completed say."""

    task: str = ""
    pending: str = ""  # the option that waits for its value
    missing: list[str] = field(default_factory=list)  # positional arguments not given yet
    environment: str = ""


def candidates(
    words: Sequence[str],
    contexts: Contexts,
    core: ParserContext,
    values: Values,
    descriptions: Mapping[str, str],
) -> Iterator[str]:
    """The candidates for the last word, each a line, with its description after a tab.

    `words` are those after the program's name. Bash passes `--tag=x` as three words.
    `descriptions`: of each task.
    """
    tasks = [f"{name}\t{descriptions[name]}" for name in contexts]
    words = _rejoined(words)
    partial = words[-1] if words else ""
    typed = read_words(words[:-1], contexts, core)
    flag, equals, start = partial.partition("=")
    if typed.pending == "help":
        yield from _starting(partial, tasks)
    elif typed.pending == "list":
        yield from _starting(partial, (name.partition(".")[0] for name in contexts if "." in name))
    elif typed.pending:
        yield from _starting(partial, values(typed.task, typed.pending, typed.environment))
    elif equals and flag.startswith("--"):
        argument = _argument(flag, typed.task, contexts, core)
        if argument is not None:
            found = values(typed.task, option_name(argument.name), typed.environment)
            yield from (f"{flag}={text}" for text in _starting(start, found))
    elif partial.startswith("-"):
        yield from _starting(partial, _options(typed.task, contexts, core))
    elif typed.missing:
        yield from _starting(partial, values(typed.task, typed.missing[0], typed.environment))
    else:
        yield from _starting(partial, tasks)


def read_words(words: Sequence[str], contexts: Contexts, core: ParserContext) -> Typed:
    """Read complete words as Invoke's parser would, without refusing any."""
    typed = Typed()
    for word in words:
        flag, equals, value = word.partition("=")
        if typed.pending:
            typed.environment = word if typed.pending == "env" else typed.environment
            typed.pending = ""
        elif word.startswith("-"):
            argument = _argument(flag, typed.task, contexts, core)
            if argument is None or not argument.takes_value:
                continue
            if not equals:
                typed.pending = option_name(argument.name)
            elif option_name(argument.name) == "env":
                typed.environment = value
        elif typed.missing:
            typed.missing.pop(0)
        elif word in contexts:
            typed.task = word
            typed.missing = [option_name(each.name) for each in contexts[word].positional_args]
    if typed.pending in ("help", "list") and typed.task:  # optional values end at a task
        typed.pending = ""
    return typed


def _rejoined(words: Sequence[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        if found and (word == "=" or found[-1].endswith("=")) and found[-1].startswith("--"):
            found[-1] += word
        else:
            found.append(word)
    return found


def _argument(flag: str, task: str, contexts: Contexts, core: ParserContext) -> Argument | None:
    for context in (contexts.get(task), core):
        if context is not None and flag in context.flags:
            found: Argument = context.flags[flag]
            return found
    return None


def _options(task: str, contexts: Contexts, core: ParserContext) -> Iterator[str]:
    from ops.tasks.command_line.listing import HELP, HIDDEN

    for context in (contexts.get(task), core):
        if context is None:
            continue
        for flag, argument in context.flags.items():
            if flag.startswith("--") and not (context is core and flag in HIDDEN):
                own = HELP.get(str(argument.name)) if context is core else None
                yield f"{flag}\t{own[1] if own else argument.help or ''}"


def _starting(partial: str, found: Iterable[str]) -> Iterator[str]:
    """Those that begin with the word, each once, with a description where there is one."""
    chosen: dict[str, str] = {}
    for each in found:
        text, _, description = each.partition("\t")
        if text.startswith(partial):
            chosen[text] = chosen.get(text) or description
    return (f"{text}\t{description}".rstrip() for text, description in chosen.items())
