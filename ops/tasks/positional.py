"""A positional argument that a switch makes optional: `inv sandbox.mend --all`.

Invoke requires every positional argument; the one here has a value, the empty string, once the
switch is on.
"""

from __future__ import annotations

from typing import Any

from invoke.parser.argument import Argument

from ops.tasks.arguments import OpsTask, StrictArgument


class OptionalPositional(StrictArgument):
    """A positional argument that may be left out if `switch` is given."""

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
