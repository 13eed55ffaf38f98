"""What a task accepts as a value, and which of Invoke's core options it accepts: every task and
option, by table.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from invoke.exceptions import ParseError
from invoke.parser import Parser
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext

from ops.core.errors import ConfigError
from ops.tasks.arguments import PairedPositional
from ops.tasks.program import OpsProgram
from tests import front_door

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
import tasks  # noqa: E402  # needs the path above

ARGUMENTS = [
    (name, argument) for name in tasks.ns.task_names for argument in tasks.ns[name].get_arguments()
]
VALUED = [(name, argument) for name, argument in ARGUMENTS if argument.takes_value]
POSITIONAL = [  # a paired one takes no word without its option
    name
    for name, argument in ARGUMENTS
    if argument.positional and not isinstance(argument, PairedPositional)
]


def ids(value: object) -> str:
    return value.names[0] if isinstance(value, Argument) else str(value)


def parse(*words: str) -> None:
    Parser(tasks.ns.to_contexts(), initial=ParserContext()).parse_argv(list(words))


@pytest.mark.parametrize(("name", "argument"), VALUED, ids=ids)
def test_no_option_takes_an_option_for_its_value(name: str, argument: Argument) -> None:
    """`--tag --to` and `--to=-1` are mistakes of exit code 2 that name the option and the help."""
    option = f"--{argument.names[0]}"
    for words in ((option, "--no-such"), (option, "-x"), (f"{option}=-1",)):
        with pytest.raises(ConfigError, match=r"error: (--)?[a-z-]+ -") as caught:
            parse(name, *words)
        rewritten = {"--command": rf"{option} ' -.*'", "--grep": rf"{option} /-.*/"}
        assert re.fullmatch(f"inv {name} {rewritten.get(option, '--help')}", caught.value.next)


@pytest.mark.parametrize(("name", "argument"), VALUED, ids=ids)
def test_an_option_without_its_value_is_a_mistake(
    name: str, argument: Argument, capsys: pytest.CaptureFixture[str]
) -> None:
    """Repeatable options too; `./inv` makes it three lines and exit code 2."""
    option = f"--{argument.names[0]}"
    if argument.optional:
        return
    with pytest.raises(ParseError, match="needed value"):
        parse(name, option)
    OpsProgram(namespace=tasks.ns).run(["inv", name, option], exit=False)
    assert f"error: {option}\n  why: it needs a value" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "argument"), VALUED, ids=ids)
def test_an_empty_value_is_not_the_default(name: str, argument: Argument) -> None:
    """`--to "$REVISION"` without that variable would migrate to another revision."""
    option = f"--{argument.names[0]}"
    for words in ((option, ""), (option, " "), (f"{option}=",)):
        with pytest.raises((ConfigError, ParseError), match=r"value is empty|needed value"):
            parse(name, *words)


@pytest.mark.parametrize("name", POSITIONAL)
def test_no_positional_takes_an_option_for_its_value(name: str) -> None:
    """`inv db.revision --no-such` writes no revision called "--no-such"."""
    for word in ("--no-such", "-x", "-"):
        with pytest.raises(ConfigError, match="cannot begin with -"):
            parse(name, word)


@pytest.mark.parametrize(
    ("name", "argument"), [each for each in VALUED if each[1].kind is int], ids=ids
)
def test_a_number_that_is_none_is_three_lines(name: str, argument: Argument) -> None:
    """Not a ValueError from inside of Invoke."""
    with pytest.raises(ConfigError, match="allowed: an integer"):
        parse(name, f"--{argument.names[0]}", "many")


def test_values_still_arrive() -> None:
    """Words, numbers, lists, and the positional that a switch replaces."""
    words = [
        "db.revision",
        "add-a-table",
        "db.history",
        "--limit",
        "3",
        "health.all",
        "--skip",
        "a",
        "--skip",
        "b",
    ]
    words += ["sandbox.mend", "--all"]
    found = Parser(tasks.ns.to_contexts(), initial=ParserContext()).parse_argv(words)[1:]
    values = [context.as_kwargs for context in found]
    assert values[0]["message"] == "add-a-table" and values[1]["limit"] == 3
    assert values[2]["skip"] == ["a", "b"] and (values[3]["all"], values[3]["fault"]) == (True, "")


@pytest.mark.parametrize("name", [*POSITIONAL, "backend.deploy"])
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_shown_and_nothing_is_done(name: str, word: str) -> None:
    """`inv TASK --help` prints what `inv --help TASK` prints, for a task with a positional too."""
    before = sorted((ROOT / "alembic" / "versions").glob("*.py"))
    shown = [
        front_door.inv(ROOT, words, {}, 60)
        for words in ((name, word), ("--help", name), (name, "--json", word))
    ]
    assert [done.returncode for done in shown] == [0, 0, 0], shown[0].stderr
    assert len({done.stdout for done in shown}) == 1 and f"] {name} [--options]" in shown[0].stdout
    assert sorted((ROOT / "alembic" / "versions").glob("*.py")) == before


@pytest.mark.parametrize(
    ("words", "environment", "says"),
    [
        (("--dry", "status"), {}, "--dry with status"),
        (("db.revision", "a message", "--dry"), {}, "--dry with db.revision"),
        (("-R", "sandbox.up", "backend.deploy"), {}, "--dry with sandbox.up"),
        (("status",), {"INVOKE_RUN_DRY": "1"}, "INVOKE_RUN_DRY with status"),
        (("-e", "status"), {}, "-e/--echo"),
        (("status", "--echo"), {}, "-e/--echo"),
        (("-w", "backend.deploy", "--plan"), {}, "-w/--warn-only"),
        (("-p", "status"), {}, "-p/--pty"),
        (("--hide", "both", "status"), {}, "--hide"),
        (("-T", "5", "backend.deploy"), {}, "-T/--command-timeout"),
        (("-ew", "dev.check"), {}, "-e/--echo"),
    ],
)
def test_core_options_without_effect_are_refused(
    words: tuple[str, ...], environment: dict[str, str], says: str
) -> None:
    """Exit code 2 and three lines, before the task does anything."""
    done = front_door.inv(ROOT, words, environment, 60)
    assert done.returncode == 2, done.stdout + done.stderr
    assert (
        says in done.stderr
        and re.search(r"error: .*\n  why: .*\n next: inv", done.stderr)
        and done.stdout == ""
    )


def test_a_refused_core_option_is_a_document_with_json() -> None:
    """As every other error."""
    done = front_door.inv(ROOT, ("--dry", "status", "--json"), {}, 60)
    assert done.returncode == 2 and done.stdout.startswith('{"error": {"what": "--dry with status"')
