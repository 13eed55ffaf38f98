"""Command-line arguments of the tasks: values that Invoke's parser accepts and that must not reach
a task.

Invoke takes the next word as the value of an option or positional, whatever it is: `inv db.revision
--help` wrote a revision called "--help", and `db.history --limit abc` ended in a traceback. The
arguments of an `OpsTask` check their values themselves, so this holds under Invoke's own `inv` too.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from invoke.exceptions import Exit
from invoke.parser import Parser
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext
from invoke.tasks import Task

from ops.core.errors import ConfigError

HELP = ("--help", "-h")
_DURATIONS = ("--timeout", "--lock-wait")
# options whose value can be written in another way, with the same meaning
_DASH_VALUES = {"--command": " {}", "--grep": "/{}/"}


def option_name(argument: str | None) -> str:
    """The name of an argument as it is typed, without `--`."""
    return (argument or "").strip("_").replace("_", "-")


def refuse_remainder(words: Sequence[str]) -> None:
    """Raise ConfigError for words after `--`, which Invoke drops, `--plan` and `--dry` included.

    Completion scripts run `inv --complete -- LINE`, which runs no task.
    """
    if "--" not in words:
        return
    position = list(words).index("--")
    before, dropped = words[:position], words[position + 1 :]
    completes = before[-1:] == ["--complete"] and not "".join(before[-2:-1]).startswith("-")
    if dropped and not completes:
        from ops.core.config.problems import shortened

        raise ConfigError(
            f"words after --: {shortened(shlex.join(dropped))}",
            "no task takes them, so nothing was run; without this error they would be ignored",
            "leave out the --, or what follows it",
        )


def refuse_env(words: Sequence[str]) -> None:
    """Raise ConfigError for `--env` under Invoke's own program, which has no such option."""
    from ops.core.config.problems import shortened

    for position, word in enumerate(words):
        flag, equals, name = word.partition("=")
        if flag == "--env":
            name = name if equals else " ".join(words[position + 1 : position + 2])
            name = shlex.quote(shortened(name or "NAME"))
            why = "Invoke's own inv has no such option; ./inv has it"
            how = f"./inv --env {name} …, or INVOKE_ENV={name} inv …"
            raise ConfigError(f"--env {name}", why, how)


def dash_value(task: str, label: str, value: str) -> ConfigError:
    """The error for a value that begins with `-`, and how to pass it where that is possible."""
    from ops.core.redaction.redact import redact

    how = f"inv {task} --help"
    if written := _DASH_VALUES.get(label):
        how = f"inv {task} {label} {shlex.quote(written.format(redact(value)))}"
    why = f"{label} needs a value, and a value cannot begin with -"
    return ConfigError(f"{label} {redact(value)}", why, how)


class StrictArgument(Argument):
    """An argument whose value is not empty, no option, and an integer where one is expected.

    An empty value is mostly that of a script's unset variable, and must not mean the default.
    """

    def __init__(self, like: Argument, owner: Callable[[], OpsTask]) -> None:
        """Replace the argument `like` of a task.

        `owner` is a function because the parser makes deep copies of arguments.
        """
        self.owner = owner
        super().__init__(
            names=like.names,
            kind=like.kind,
            default=like.default,
            help=like.help,
            positional=like.positional,
            optional=like.optional,
            incrementable=like.incrementable,
            attr_name=like.attr_name,
        )
        if self.kind is list:
            self.raw_value = None  # not Invoke's empty list: `--paths` without a value is an error

    def set_value(self, value: Any, cast: bool = True) -> None:
        if isinstance(value, str) and self.takes_value:
            if value in HELP:
                self.owner().print_help()
                raise Exit
            self.check(value)
        super().set_value(value, cast)

    def check(self, value: str) -> None:
        """Raise ConfigError (exit code 2) for a value that the task must not see."""
        label = self.names[0] if self.positional else f"--{self.names[0]}"
        help_command = f"inv {self.owner().path} --help"
        if not value.strip():
            raise ConfigError(
                f"{label} '{value}'",
                "its value is empty, as of a variable that is not set",
                "name a value" if self.positional else f"name a value, or leave {label} out",
            )
        if value.startswith("-"):
            raise dash_value(self.owner().path, label, value)
        if self.kind is int:
            try:
                int(value)
            except ValueError:
                raise ConfigError(f"{label} {value}", "allowed: an integer", help_command) from None
        if label in _DURATIONS:
            from ops.core import ui

            try:
                ui.parse_seconds(label.removeprefix("--"), value)
            except ConfigError as error:
                how = f"inv {self.owner().path} {label} 5m"
                raise ConfigError(error.what, error.why, how) from None


class OpsTask(Task[Any]):
    """A task with strict arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.path: str = (
            self.name
        )  # what to type; the namespace is added when the namespaces are assembled

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        texts = dict(self.help)
        arguments = super().get_arguments(ignore_unknown_help)
        self.help = texts  # Invoke removes each text as it uses it
        return [StrictArgument(argument, lambda: self) for argument in arguments]

    help_printer: ClassVar[Callable[[OpsTask], None] | None] = None  # set by our own program

    def print_help(self) -> None:
        """Print what `inv --help TASK` prints."""
        if OpsTask.help_printer:
            OpsTask.help_printer(self)
            return
        from invoke.program import Program

        program = Program(binary="inv[oke]")
        program.parser = Parser([ParserContext(self.path, args=self.get_arguments())])
        program.collection = {self.path: self}  # type: ignore[assignment]  # print_task_help reads nothing else of it
        program.print_task_help(self.path)


class OptionalPositional(StrictArgument):
    """A positional argument that may be left out if `switch` is given.

    Invoke requires every positional argument; this one is the empty string once the switch is on.
    """

    def __init__(self, like: StrictArgument, switch: Argument) -> None:
        self.switch = switch
        super().__init__(like, like.owner)

    @property
    def value(self) -> Any:
        found = self._value if self._value is not None else self.default
        return "" if found is None and self.switch.value else found

    @value.setter
    def value(self, given: str) -> None:
        self.set_value(given)


def optional_positional(task: OpsTask, name: str, switch: str) -> OpsTask:
    """Make the positional argument `name` of a task optional if the option `switch` is on."""
    made = task.get_arguments

    def get_arguments(ignore_unknown_help: bool | None = None) -> list[Argument]:
        found = {argument.name: argument for argument in made(ignore_unknown_help)}
        positional = found[name]
        assert isinstance(positional, StrictArgument)
        found[name] = OptionalPositional(positional, found[switch])
        return list(found.values())

    task.get_arguments = get_arguments  # type: ignore[method-assign]
    return task


class PairedPositional(StrictArgument):
    """A positional argument that is required after `option`, and takes no word without it.

    So an option gets two values: `--diff A B`.
    """

    def __init__(self, like: StrictArgument, option: Argument) -> None:
        self.option = option
        super().__init__(like, like.owner)

    @property
    def value(self) -> Any:
        if self._value is None and self.option.value is None:
            return ""
        return self._value

    @value.setter
    def value(self, given: str) -> None:
        self.set_value(given)


def required_after(task: OpsTask, name: str, option: str) -> OpsTask:
    """Make the positional argument `name` of a task the second value of `option`."""
    made = task.get_arguments

    def get_arguments(ignore_unknown_help: bool | None = None) -> list[Argument]:
        found = {argument.name: argument for argument in made(ignore_unknown_help)}
        positional = found[name]
        assert isinstance(positional, StrictArgument)
        found[name] = PairedPositional(positional, found[option])
        return list(found.values())

    task.get_arguments = get_arguments  # type: ignore[method-assign]
    return task
