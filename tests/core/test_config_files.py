"""Malformed configuration: three lines that name the file, never a traceback, neither ours nor
Invoke's.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from invoke.config import Config

from ops.core.config import load as config_load
from ops.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "invoke.yaml").read_text(encoding="utf-8")
DEFAULTS: dict[str, Any] = {"env": "sandbox", "environments": {}}
SERVICE = "{ecs_service: b, container: b, repository: r}"
HERE = (
    'env: here\nenvironments:\n  here:\n    account: "123456789012"\n    region: r\n    '
    "cluster: c\n"
)


def here(line: str) -> str:
    """An environment with one line of its own."""
    return f"{HERE}    services: {{}}\n    {line}\n"


YAML: list[tuple[str, str | bytes, str]] = [
    # syntax
    ("a tab", "env:\n\t- x\n", "FILE:2"),
    ("a missing colon", "env: x\nenvironments\nrun: {}\n", "FILE:3"),
    ("cut off", "environments: {here: {account: 'x", "FILE:1"),
    ("an open list", "environments: [", "not valid YAML"),
    ("two values", "env: a: b\n", "FILE:1:7"),
    ("two documents", "env: a\n---\nenv: b\n", "FILE:2"),
    ("an unknown alias", "env: *nobody\n", "FILE:1:6"),
    ("an unknown tag", "env: !secret x\n", "FILE:1:6"),
    ("a Python object", "env: !!python/object/apply:os.getcwd []\n", "FILE:1:6"),
    ("a directive", "%YAML 9.9\n---\nenv: a\n", "not valid YAML"),
    ("a bad escape", 'env: "\\q"\n', "FILE:1"),
    ("an undecodable escape", 'env: "\\ud800"\n', "not valid YAML"),
    ("a bad merge", "<<: 5\nenv: a\n", "FILE:1"),
    ("a control character", b"env: a\x01b\n", "not valid YAML"),
    ("bytes", bytes(range(256)), "not UTF-8"),
    ("an image", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "FILE:1"),
    ("UTF-16", "env: a\n".encode("utf-16"), "not UTF-8"),
    ("Latin-1", "env: ä\n".encode("latin-1"), "FILE:1"),
    ("Latin-1 further down", "run: {}\nenv: ä\n".encode("latin-1"), "FILE:2"),
    ("too deep a list", "env: " + "[" * 100_000, "levels of nesting"),
    ("too deep", "env: " + "[" * 60 + "]" * 60, "levels of nesting"),
    ("too deep a block", "- " * 50_000 + "x", "levels of nesting"),
    ("large", "# " + "x" * 1_100_000, "larger than"),
    ("an impossible date", "env: 2026-13-45\n", "month must be"),
    ("an enormous number", "env: " + "9" * 5000, "digits"),
    ("a tag that does not fit", "env: !!bool perhaps\n", "KeyError"),
    ("a timestamp that is none", "env: !!timestamp x\n", "configuration file FILE"),
    # keys
    ("a key twice", "env: a\nrun: {}\nenv: b\n", "FILE:3"),
    ("an environment twice", f"{HERE}  here: {{}}\n", "already in line 3"),
    ("a deep key twice", here("aws: {profile: a, profile: b}"), "FILE:8"),
    ("a key twice in a list", here("health: {endpoints: [{path: /a, path: /b}]}"), "key path"),
    ("a misspelt section", "enviroments: {}\n", "did you mean environments?"),
    ("an unknown section", "environments: {}\nfoo: 1\n", "FILE:2:1: foo"),
    ("a number as a key", here("services: {1: {}}").replace("    services: {}\n", ""), "the key 1"),
    ("a boolean as a key", "environments: {on: {}}\n", "put it in quotes"),
    ("null as a key", "environments: {~: {}}\n", "put it in quotes"),
    ("a list as a key", "? [a]\n: b\n", "a sequence"),
    ("a date as a key", here("build: {2026-01-01: x}"), "the key 2026-01-01"),
    ("a status as a key", here("contacts: [{200: x}]"), "the key 200"),
    # aliases
    ("an alias of itself", "env: &a [*a]\n", "part of"),
    ("an alias of its section", "environments: &a {here: *a}\n", "FILE:1"),
    (
        "aliases that multiply",
        "run: {env: {a0: &a0 [x, x, x, x]"
        + "".join(f", a{n}: &a{n} [{f'*a{n - 1},' * 9}]" for n in range(1, 9))
        + "}}\n",
        "alias written out",
    ),
    # types
    ("a list", "- a\n- b\n", "found a list"),
    ("a word", "hello\n", "found text"),
    ("a number", "5\n", "found a number"),
    ("false", "false\n", "found a boolean"),
    ("env is a mapping", "env: {a: b}\n", "FILE:1:1: env"),
    ("env is nothing", "env:\n", "found nothing"),
    ("env is a number", "env: 5\n", "found a number"),
    ("environments is nothing", "environments:\n", "FILE:1:1: environments"),
    ("environments is a list", "environments: []\n", "found a list"),
    ("environments is a list of names", "environments: [sandbox]\n", "found a list"),
    ("an environment is nothing", "environments: {sandbox: }\n", "environments.sandbox"),
    ("an environment is a list", "environments: {prod: []}\n", "environments.prod"),
    ("services is a number", "environments: {sandbox: {services: 5}}\n", "sandbox.services"),
    ("services is nothing", "environments: {a: {services: }}\n", "environments.a.services"),
    ("services is a list", "environments: {a: {services: [a]}}\n", "environments.a.services"),
    ("a service is nothing", "environments: {a: {services: {b: }}}\n", "a.services.b"),
    ("a service is a word", "environments: {a: {services: {b: x}}}\n", "a.services.b"),
    ("a service with a bad name", "environments: {a: {services: {B_: {}}}}\n", "'B_'"),
    ("a service with our name", "environments: {a: {services: {db: {}}}}\n", "namespace"),
    ("tasks is nothing", "tasks:\n", "FILE:1:1: tasks"),
    ("run is a number", "run: 5\n", "FILE:1:1: run"),
    ("run.env is a word", "run: {env: x}\n", "run.env"),
    ("run.dry is a mapping", "run: {dry: {a: 1}}\n", "allowed: a single value"),
    ("another executor", "tasks: {executor_class: no.such.Thing}\n", "executor_class"),
    ("two keys of one variable", "run: {env: {a_b: 1, a: {b: 2}}}\n", "INVOKE_RUN_ENV_A_B"),
    ("a NUL", here('region: "a\\0b"').replace("    region: r\n", ""), "NUL"),
    # values of the chosen environment
    ("aws is a number", here("aws: 5"), "FILE:8:5: environments.here.aws"),
    ("aws is a list", here("aws: [a]"), "FILE:8:5: environments.here.aws"),
    ("aws is nothing", here("aws:"), "FILE:8:5: environments.here.aws"),
    ("cdn is a word", here("cdn: no"), "environments.here.cdn"),
    ("an unknown key", here("clutser: x"), "did you mean cluster?"),
    ("a mistake in a list", here("health: {endpoints: [{path: x}]}"), "endpoints.0.path"),
    ("a duration", here("poll: often"), "FILE:8:5: environments.here.poll"),
    ("overlay: huge", here(f"overlay: {'x' * 5000}"), "File name too long"),
    ("overlay: a folder", here("overlay: ."), "allowed: .yaml"),
    ("overlay: bytes", here("overlay: binary.yaml"), "binary.yaml:1"),
    ("overlay: twice", here("overlay: twice.yaml"), "twice.yaml:2"),
    ("overlay: a list", here("overlay: list.yaml"), "found a list"),
    ("overlay: a mistake", here("overlay: mistake.yaml"), "mistake.yaml:1"),
    (
        "a port",
        here(f"services: {{b: {SERVICE[:-1]}, container_port: 99999999}}}}").replace(
            "    services: {}\n", ""
        ),
        "65535",
    ),
]
OTHERS: list[tuple[str, str | bytes, str]] = [
    ("broken.json", '{"env": ', "FILE:1:9"),
    ("comma.json", '{"env": "a",}', "FILE:1"),
    ("twice.json", '{"env": "a", "env": "b"}', "occurs twice"),
    ("list.json", "[]", "found a list"),
    ("surrogate.json", '{"env": "\\ud800"}', "surrogate"),
    ("deep.json", "[" * 100_000, "nested too deeply"),
    ("bytes.json", b"\xff\xfe{}", "not UTF-8"),
    ("bom.json", "\ufeff{}".encode(), "BOM"),
    ("types.json", '{"environments": {"a": null}}', "environments.a"),
    ("syntax.py", "def", "SyntaxError"),
    ("raises.py", "1 / 0", "ZeroDivisionError"),
    ("exits.py", "raise SystemExit(0)", "SystemExit"),
    ("module.py", "import os", "is a module"),
    ("key.py", "environments = {1: {}}", "the key 1"),
    ("unknown.py", "enviroments = {}", "did you mean environments?"),
    ("recursive.py", "environments = {}\nenvironments['a'] = environments", "nesting"),
    ("some.toml", "a = 1", "allowed: .yaml"),
    ("noextension", "env: a", "allowed: .yaml"),
    ("UPPER.YAML", "env: a", "allowed: .yaml"),
]


def through_invoke(root: Path, runtime: Path | None) -> Any:
    """What a task is given: our checks first, then Invoke's own loading, then the settings."""
    defaults = {**Config.global_defaults(), **DEFAULTS}
    ours = config_load.load(root, str(runtime) if runtime else None, defaults)
    theirs = Config(project_location=root, runtime_path=runtime, lazy=True)
    for load in (theirs.load_system, theirs.load_user, theirs.load_project, theirs.load_runtime):
        load(merge=False)
    theirs.load_collection(DEFAULTS)
    theirs.load_shell_env()
    assert theirs.get("environments") == ours["environments"] and theirs.env == ours["env"]
    return config_load.read(theirs, root)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configured")


@pytest.fixture
def overlays(tmp_path: Path) -> None:
    """Overlays beside the file that names them."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff\x00\x01")
    (tmp_path / "twice.yaml").write_text("site: a\nsite: b\n")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "mistake.yaml").write_text("poll: often\n")


def refused(folder: Path, path: Path, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        through_invoke(folder, path)
    lines = str(caught.value).splitlines()
    assert caught.value.code == 2 and len(lines) == 3, lines
    assert says.replace("FILE", str(path)) in str(caught.value), lines
    assert max(map(len, lines)) < 700 and all(map(str.isprintable, lines))


@pytest.mark.parametrize(("_name", "content", "says"), YAML, ids=[each[0] for each in YAML])
@pytest.mark.usefixtures("overlays")
def test_a_malformed_file_is_three_lines(
    folder: Path, tmp_path: Path, _name: str, content: str | bytes, says: str
) -> None:
    """With `-f FILE`: file, line where there is one, what was found and what is allowed."""
    path = tmp_path / "given.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    refused(folder, path, says)


@pytest.mark.parametrize(("name", "content", "says"), OTHERS, ids=[each[0] for each in OTHERS])
def test_a_malformed_file_of_another_kind_is_three_lines(
    folder: Path, tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    """JSON and Python, which Invoke reads too, and what it does not read."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    refused(folder, path, says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("env: sandbox\nenv: dev\n", "invoke.yaml:2"),
        ("environments: {sandbox: }\n", "invoke.yaml:1:16: environments.sandbox"),
        ("services: {}\n", "invoke.yaml:1:1: services"),
        (b"\xff", "invoke.yaml"),
        (here("poll: often"), "invoke.yaml:8:5: environments.here.poll"),
    ],
)
def test_a_malformed_project_file_is_three_lines(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    """invoke.yaml itself, which is named by its bare name."""
    (tmp_path / "invoke.yaml").write_bytes(
        content.encode() if isinstance(content, str) else content
    )
    with pytest.raises(ConfigError) as caught:
        through_invoke(tmp_path, None)
    assert caught.value.what.startswith((says, f"configuration file {says}", str(tmp_path / says)))


def test_a_folder_in_place_of_a_file_is_three_lines(tmp_path: Path) -> None:
    """For Invoke it is an IsADirectoryError."""
    (tmp_path / "invoke.yaml").mkdir()
    with pytest.raises(ConfigError, match="it is a folder"):
        through_invoke(tmp_path, None)


def test_a_home_that_is_no_folder_is_three_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOME=/dev/null."""
    monkeypatch.setenv("HOME", "/dev/null")
    with pytest.raises(ConfigError, match="Not a directory"):
        through_invoke(tmp_path, None)


def test_the_users_file_may_hold_other_projects_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """~/.invoke.yaml is read by every project that uses Invoke; a misspelt key of ours is
    refused.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "invoke.yaml").write_text(here("branch: main"))
    (tmp_path / ".invoke.yaml").write_text("packaging: {sign: true}\nrun: {echo: true}\n")
    assert through_invoke(tmp_path, None).name == "here"
    (tmp_path / ".invoke.yaml").write_text("packaging: {sign: true}\nenviroments: {}\n")
    with pytest.raises(ConfigError, match=r"\.invoke\.yaml:2:1: enviroments"):
        through_invoke(tmp_path, None)


def test_files_that_contradict_each_other_are_three_lines(tmp_path: Path) -> None:
    """Invoke cannot merge a mapping with anything else."""
    (tmp_path / "invoke.yaml").write_text(here("aws: {profile: a}"))
    (tmp_path / "given.yaml").write_text("env: here\nenvironments:\n  here:\n    aws:\n")
    refused(tmp_path, tmp_path / "given.yaml", "given.yaml:4:5: environments.here.aws")


def test_a_mistake_names_the_file_that_made_it(tmp_path: Path) -> None:
    """Of two files, the one with the key; all mistakes at once, unknown keys first."""
    (tmp_path / "invoke.yaml").write_text(here("poll: 5s"))
    given = tmp_path / "given.yaml"
    given.write_text("environments:\n  here:\n    account: 5\n    clutser: x\n")
    with pytest.raises(ConfigError) as caught:
        through_invoke(tmp_path, given)
    assert caught.value.what == "given.yaml:4:5: environments.here.clutser"
    assert "given.yaml:3:5: environments.here.account" in caught.value.why
    assert caught.value.next == "did you mean cluster?"


def mutated(text: str, chance: random.Random) -> str:
    """`text` with one to three mistakes."""
    lines = text.splitlines()
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines))
        line = lines[at]
        column = chance.randrange(len(line) + 1)
        key, colon, _value = line.partition(":")
        junk = [
            "",
            " ",
            "\t",
            ":",
            ": ",
            "#",
            "[",
            "]",
            "{",
            "}",
            "&a ",
            "*a",
            "!",
            "- ",
            "? ",
            "'",
            '"',
            "\0",
            "ä",
            "😀",
        ]
        junk += [
            "null",
            "5",
            "[a]",
            "{a: b}",
            "<<: ",
            "on: ",
            "1: ",
            "99999999999999999999",
            "|",
            ">",
            "%",
            "@",
            "`",
            "\x85",
        ]
        word = chance.choice(junk)
        lines[at] = chance.choice(
            [
                line[:column] + word + line[column:],
                line[:column] + line[column + 1 :],
                key + colon + " " + word,
                key + word,
                " " * chance.randint(0, 8) + line.strip(),
                line + "\n" + line,
                lines[chance.randrange(len(lines))],
                "",
            ]
        )
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_configuration_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Only ConfigError is raised, and what passes our checks Invoke loads with the same values."""
    start = SHIPPED.index("environments:")
    text = "env: sandbox\n" + SHIPPED[start : SHIPPED.index("  dev:", start)]
    text = text.replace("    overlay: .sandbox/environment.yaml", "    branch: main")
    chance, refusals = random.Random(seed), 0
    for _ in range(100):
        content = mutated(text, chance)
        (tmp_path / "invoke.yaml").write_text(content, encoding="utf-8")
        try:
            through_invoke(tmp_path, None)
        except ConfigError:
            refusals += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{content}") from error
    assert 30 < refusals < 100
