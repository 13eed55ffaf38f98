"""The program that `./inv` and the installed `ecs-runbook` run: Invoke's, with its own list, help,
completion and errors.

Invoke reads /etc/invoke.* and ~/.invoke.* and parses its core options before it imports `tasks.py`;
under plain `inv`, a mistake there is a traceback, and a mistake in a task's options is one line
with exit code 1. Here every mistake is three lines and exit code 2, and a document with `--json`.
`./inv` runs this file by its path, because `python -P -m` finds nothing of a checkout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from invoke.config import Config
from invoke.exceptions import Exit, ParseError
from invoke.parser.argument import Argument
from invoke.program import Program

from ops.core import streams
from ops.core.config import files
from ops.core.config.problems import shortened
from ops.core.errors import ConfigError, OpsError
from ops.core.invocation import invocation
from ops.tasks.arguments import HELP, OpsTask
from ops.tasks.command_line import core_options, listing, parse_errors

FORMATS = ("flat", "nested", "json")


class OpsProgram(Program):
    """Invoke's program with this project's errors, lists, help and completion."""

    # what Invoke calls, in this order

    def create_config(self) -> None:
        with self._errors():
            files.merge(files.read_shared(), Config.global_defaults())
            super().create_config()

    def core_args(self) -> list[Argument]:
        return [*super().core_args(), Argument(names=("env",), help=listing.HELP["env"][1])]

    def parse_core(self, argv: list[str] | None) -> None:
        before, invocation.own = sys.dont_write_bytecode, True
        with self._errors():
            core_options.refuse_second_environment((argv or sys.argv)[1:])
            super().parse_core(argv)
        sys.dont_write_bytecode = before  # Invoke switches bytecode off, which doubles the start

    def parse_core_args(self) -> None:
        super().parse_core_args()
        shell = self.args["print-completion-script"].value
        if shell:
            from ops.tasks.command_line import completion_scripts

            print(completion_scripts.script(shell), end="")
            raise Exit

    def parse_collection(self) -> None:
        with self._errors():
            super().parse_collection()

    def load_collection(self) -> None:
        try:
            super().load_collection()
        except OpsError:
            raise
        except Exit as error:
            raise parse_errors.explain_collection(error) from None

    def parse_tasks(self) -> None:
        invocation.set_options(self.args.config.value, self.args.env.value)
        OpsTask.help_printer = self.print_help_of
        with self._errors():
            super().parse_tasks()
        invocation.set_options(self.args.config.value, self.args.env.value)  # after a task, too

    def parse_cleanup(self) -> None:
        with self._errors():
            self._check_options()
            if self.args.complete.value:
                self._complete()
            super().parse_cleanup()

    def update_config(self, merge: bool = True) -> None:
        with self._errors():
            super().update_config(merge=False)
            name = self.args.env.value
            if name is not None:
                self.config.load_overrides({**self.config._overrides, "env": name}, merge=False)
            self.config.merge()
            environments = self.config.get("environments")
            if name == "" or (name and environments):
                core_options.check_environment(name, list(environments or ()))

    # what it prints

    def print_version(self) -> None:
        print(listing.version())

    def print_help(self) -> None:
        print(listing.core_help())

    def print_task_help(self, name: str) -> None:
        self.print_help_of(self.collection[name], name)

    def print_help_of(self, task: OpsTask, path: str = "") -> None:
        """Print the help page of a task."""
        from ops.tasks.command_line import help_page

        print(help_page.render(task, path or task.path))

    def list_tasks(self) -> None:
        chosen = self.args["list-format"].got_value or self.args["list-depth"].got_value
        if chosen:
            super().list_tasks()
        elif self.list_root:
            print(listing.namespace(self.scoped_collection, self.list_root))
        else:
            print(listing.overview(self.collection))

    def no_tasks_given(self) -> None:
        print(listing.overview(self.collection))
        raise Exit

    # errors

    @property
    def _json(self) -> bool:
        words = self.argv[1:]
        return "--json" in (words[: words.index("--")] if "--" in words else words)

    def _check_options(self) -> None:
        contexts = self.parser.contexts
        named, listed = self.args.help.value, self.args.list.value
        if isinstance(named, str) and named not in contexts:
            if self._list_namespace(named):
                raise Exit
            raise parse_errors.unknown_task(named, contexts)
        if isinstance(listed, str) and not any(path.startswith(f"{listed}.") for path in contexts):
            raise parse_errors.unknown_namespace(listed, contexts)
        form = self.args["list-format"].value
        if form not in FORMATS:
            why = f"allowed: {', '.join(FORMATS)}"
            raise ConfigError(f"-F/--list-format {shortened(form)}", why, "inv --list")

    def _list_namespace(self, word: str) -> bool:
        """Print the tasks of a namespace given where a task was expected; True if it is one."""
        if word not in self.collection.collections or self._json:
            return False
        print(listing.namespace(self.collection.collections[word], word), flush=True)
        return True

    def _complete(self) -> None:
        from ops.tasks.command_line import completion, completion_values
        from ops.tasks.shared import ROOT

        words = self.argv[self.argv.index("--") + 1 :] if "--" in self.argv else []
        contexts = self.parser.contexts
        environment = os.environ.get("INVOKE_ENV") or self.config.get("env", "")
        values = completion_values.Values(ROOT, self.config, environment)
        texts = {name: listing.first_line(self.collection[name]) for name in contexts}
        core = self.initial_context
        for line in completion.candidates(words[1:], contexts, core, values, texts):
            print(line)
        raise Exit

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what Invoke raises into three lines; with `--json`, print its document too."""
        try:
            with self._explained():
                yield
        except OpsError as error:
            if self._json:
                from ops.core import ui

                ui.write_document(sys.stdout, error.as_document())
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            parsed = hasattr(self, "parser")
            contexts = self.parser.contexts if parsed else {}
            if parsed:
                word = parse_errors.unknown_word(error)
                if word and self._list_namespace(word):
                    if set(HELP) & set(self.core.unparsed):
                        raise Exit from None
                    raise parse_errors.listed_namespace(word) from None
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
    own = Path(sys.argv[0]).name
    invocation.start(os.environ, "inv" if own.endswith(".py") else own)
    OpsProgram(name=listing.NAME, binary=invocation.program, binary_names=["inv"]).run()


if __name__ == "__main__":
    main()
