"""The program that `./inv` runs: Invoke's, with three lines for every mistake in a command line.

Invoke reads /etc/invoke.* and ~/.invoke.* and parses its core options before it imports `tasks.py`;
under plain `inv`, a mistake there is a traceback, and a mistake in a task's options is one line
with exit code 1. `./inv` runs this file by its path, because `python -P -m` finds nothing of a
checkout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from invoke._version import __version__
from invoke.config import Config
from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from ops.core import streams
from ops.core.config import files
from ops.core.config.reader import shortened
from ops.core.errors import ConfigError, OpsError
from ops.tasks.command_line import parse_errors

FORMATS = ("flat", "nested", "json")


class OpsProgram(Program):
    """Invoke's program; every override only adds an error."""

    def create_config(self) -> None:
        files.merge(files.read_shared(), Config.global_defaults())
        super().create_config()

    def parse_core(self, argv: list[str] | None) -> None:
        with self._errors():
            super().parse_core(argv)

    def load_collection(self) -> None:
        try:
            super().load_collection()
        except OpsError:
            raise
        except Exit as error:
            raise parse_errors.explain_collection(error) from None

    def parse_tasks(self) -> None:
        with self._errors():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        contexts = self.parser.contexts
        named, listed = self.args.help.value, self.args.list.value
        if isinstance(named, str) and named not in contexts:
            raise parse_errors.unknown_task(named, contexts)
        if isinstance(listed, str) and not any(path.startswith(f"{listed}.") for path in contexts):
            raise parse_errors.unknown_namespace(listed, contexts)
        form = self.args["list-format"].value
        if listed and form not in FORMATS:
            why = f"allowed: {', '.join(FORMATS)}"
            raise ConfigError(f"-F/--list-format {shortened(form)}", why, "inv --list")
        with self._errors():
            super().parse_cleanup()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn Invoke's errors about the command line into three lines."""
        try:
            yield
        except ParseError as error:
            parsed = hasattr(self, "parser")
            contexts = self.parser.contexts if parsed else {}
            words = self.core.unparsed if parsed else self.argv[1:]
            raise parse_errors.explain(error, words, contexts) from None
        except ValueError as error:
            raise _not_an_integer(error) from None
        except OpsError:
            raise
        except Exit as error:
            if error.message:
                raise parse_errors.explain_message(error.message) from None
            raise


def _not_an_integer(error: ValueError) -> ConfigError:
    why = f"allowed: an integer ({error})"
    return ConfigError("-D/--list-depth or -T/--command-timeout", why, "inv --help")


def main() -> None:
    """Run the words of the command line."""
    streams.make_safe()
    names = ["invoke", "inv"]
    OpsProgram(name="Invoke", binary="inv[oke]", binary_names=names, version=__version__).run()


if __name__ == "__main__":
    main()
