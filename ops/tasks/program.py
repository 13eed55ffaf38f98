"""The program that `./inv` runs: Invoke's, with three lines for mistakes that it meets before it
imports `tasks.py`.

Invoke reads /etc/invoke.* and ~/.invoke.* and parses its core options first; under plain `inv`, a
mistake there is a traceback. `./inv` runs this file by its path, because `python -P -m` finds
nothing of a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from invoke._version import __version__
from invoke.config import Config
from invoke.program import Program

from ops.core import streams
from ops.core.config import files
from ops.core.errors import ConfigError


class OpsProgram(Program):
    """Invoke's program; every override only adds an error."""

    def create_config(self) -> None:
        files.merge(files.read_shared(), Config.global_defaults())
        super().create_config()

    def parse_core(self, argv: list[str] | None) -> None:
        try:
            super().parse_core(argv)
        except ValueError as error:
            raise _not_an_integer(error) from None

    def parse_tasks(self) -> None:
        try:
            super().parse_tasks()
        except ValueError as error:
            raise _not_an_integer(error) from None


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
