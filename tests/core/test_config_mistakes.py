"""The exact words of mistakes in the configuration: all at once, in the file where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invoke.config import Config

from ops.core.config import load as config_load
from ops.core.config.problems import Malformed
from ops.core.config.schema import model_in
from ops.core.errors import ConfigError

DEFAULTS: dict[str, Any] = {"env": "sandbox", "environments": {}}
HERE = (
    'env: here\nenvironments:\n  here:\n    account: "123456789012"\n    region: r\n'
    "    cluster: c\n"
)
SERVICE = "ecs_service: b, container: b, repository: r"
CORRECT = "correct it (docs/configuration.md documents every key)"
PYDANTIC = ("Input should", "String should", "Field required", "Extra inputs", "Value error", "ctx")


@pytest.fixture(autouse=True)
def no_files_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def read(root: Path, runtime: Path | None = None) -> config_load.Configuration:
    """The configuration as a task reads it: by our loader, by Invoke's, then validated."""
    return config_load.read_configuration(loaded(root, runtime), root)


def loaded(root: Path, runtime: Path | None = None) -> Config:
    """Invoke's configuration, after our loader has accepted the files."""
    defaults = {**Config.global_defaults(), **DEFAULTS}
    config_load.load(root, str(runtime) if runtime else None, defaults)
    config = Config(runtime_path=runtime)
    config.load_collection(DEFAULTS, merge=False)
    config.set_project_location(root)
    config.load_project()
    config.load_runtime()
    config.load_shell_env()
    return config


def refused(root: Path, text: str) -> list[str]:
    """The lines of the error for an `invoke.yaml`."""
    (root / "invoke.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(root)
    assert caught.value.code == 2
    return str(caught.value).splitlines()


ONE: list[tuple[str, str, str, str]] = [
    ("services: {}\nclutser: x", "8:5: KEY.clutser", "unknown key", "did you mean cluster?"),
    ("services: {}\npoll:\n  a: b", "8:5: KEY.poll", "found a mapping", ""),
    ("services: {}\nprotected: perhaps", "8:5: KEY.protected", "'perhaps'; allowed: true or", ""),
    ("services: {}\ncontacts: me", "8:5: KEY.contacts", "found 'me'; allowed: a list", ""),
    ("services: {}\nhealth: {keep: x}", "8:14: KEY.health.keep", "allowed: an integer", ""),
    ("services: {}\nhealth: {keep: 0}", "8:14: KEY.health.keep", "allowed: at least 1", ""),
    ("services: {}\nhealth: {slower: 1}", "8:14: KEY.health.slower", "more than 1.0", ""),
    ("services: {}\nhealth: {slower: .inf}", "8:14: KEY.health.slower", "a finite number", ""),
    ("services: {}\nsite: ''", "8:5: KEY.site", "found ''; allowed: text with at least 1", ""),
    ("services: {}\nsite: 5", "8:5: KEY.site", "found 5; allowed: text, in quotes", ""),
    ("services: {}\nsite: on", "8:5: KEY.site", "found true; allowed: text, in quotes", ""),
    ("services: {}\nrollout: k8s", "8:5: KEY.rollout", "'k8s'; allowed: ecs or terraform", ""),
    ("services: {}\ndatabase: 5", "8:5: KEY.database", "found 5; allowed: a mapping of keys", ""),
    ("services: {}\nstate: {}", "8:5: KEY.state.bucket", "required key is missing", "add it"),
    (
        "services: {b: {repository: r, container: c}}",
        "7:16: KEY.services.b.ecs_service",
        "is missing",
        "add it",
    ),
    (
        "services: {}\naws: {secret_key: hunter2}",
        "8:11: KEY.aws.secret_key",
        "no setting carries a secret",
        "remove it",
    ),
    (
        f"services: {{b: {{{SERVICE}, endpoints: [{{path: /, headers: {{X-Pin: 5}}}}]}}}}",
        "7:97: KEY.services.b.endpoints.0.headers.X-Pin",
        "found a number; allowed: text, in quotes",
        "",
    ),
    (
        f"services: {{b: {{{SERVICE}, build_args: {{TOKEN: 5}}}}}}",
        "7:78: KEY.services.b.build_args.TOKEN",
        "found a number; allowed: text, in quotes",
        "",
    ),
    (
        f"services: {{b: {{{SERVICE}, image_variable: a b}}}}",
        "7:65: KEY.services.b.image_variable",
        "allowed: the name of a Terraform variable",
        "",
    ),
    (
        f"services: {{b: {{{SERVICE}, invalidate: ['a*b']}}}}",
        "7:78: KEY.services.b.invalidate.0",
        "with a * only as its last character",
        "",
    ),
    (
        f"services: {{b: {{{SERVICE}, invalidate: ['/*']}}}}\ncdn: none",
        "7:65: KEY.services.b.invalidate",
        "found paths, and `cdn` is none",
        "remove one of the two",
    ),
    (
        f"services: {{b: {{{SERVICE}}}}}\ndatabase: {{tunnel: {{service: api}}}}",
        "8:25: KEY.database.tunnel.service",
        "found 'api'; allowed: b",
        CORRECT,
    ),
    (
        f"services: {{b: {{{SERVICE}}}}}\n"
        "database: {task: {service: api, variables: {url: DATABASE_URL}}}",
        "8:23: KEY.database.task.service",
        "found 'api'; allowed: b",
        CORRECT,
    ),
    (
        f"services: {{b: {{{SERVICE}}}}}\n"
        "database: {task: {service: b, variables: {password: P, url: U}}}",
        "8:35: KEY.database.task.variables",
        "allowed: url alone, secret alone, or password with user, host, port and name; "
        "not password with url",
        CORRECT,
    ),
    (
        f"services: {{b: {{{SERVICE}}}}}\n"
        "database: {task: {service: b, variables: {user: A, secret: S}}}",
        "8:35: KEY.database.task.variables",
        "not user with secret",
        CORRECT,
    ),
    (
        f"services: {{b: {{{SERVICE}}}}}\ndatabase: {{tunnel: {{service: b, instance: i-1}}}}",
        "8:16: KEY.database.tunnel",
        "found both; allowed: one of service and instance",
        CORRECT,
    ),
    (
        "services: {}\ndatabase: {tunnel: {}}",
        "8:16: KEY.database.tunnel",
        "found neither; allowed: one of service and instance",
        CORRECT,
    ),
    ("services: {}\npoll: -3", "8:5: KEY.poll", "found -3; allowed: no negative time", ""),
    (
        "services: {}\ndatabase: {run: tunnel}",
        "8:16: KEY.database.run",
        "found 'tunnel' without database.tunnel or bastion",
        "add database.tunnel or bastion, or change run",
    ),
    (
        "services: {}\ndatabase: {run: remote, tunnel: {instance: i-1}}",
        "8:16: KEY.database.run",
        "found 'remote' without bastion",
        "add bastion, or change run",
    ),
    (
        "services: {}\ndatabase: {run: task}",
        "8:16: KEY.database.run",
        "found 'task' without database.task",
        "add database.task, or change run",
    ),
    (
        f"services: {{b: {{{SERVICE}}}}}\n"
        "database: {run: task, task: {service: b, variables: {url: U}}}",
        "8:16: KEY.database.run",
        "found 'task' without database.task.bundle or state.bucket",
        "add database.task.bundle or state.bucket",
    ),
    (
        f"services: {{B_: {{{SERVICE}}}}}",
        "7:16: KEY.services.B_",
        "service name 'B_'; allowed: a-z, then a-z, 0-9 and -",
        "rename it",
    ),
    (
        f"services: {{env: {{{SERVICE}}}}}",
        "7:16: KEY.services.env",
        "a namespace of this tool has that name",
        "rename it: env-app",
    ),
]


@pytest.mark.parametrize(("lines", "where", "why", "how"), ONE, ids=[each[0] for each in ONE])
def test_a_mistake_says_where_what_and_how(
    tmp_path: Path, lines: str, where: str, why: str, how: str
) -> None:
    """File, line, column and key; what was found and what is allowed; what to type."""
    text = HERE + "".join(f"    {line}\n" for line in lines.split("\n"))
    first, second, third = refused(tmp_path, text)
    assert first == f"error: invoke.yaml:{where.replace('KEY', 'environments.here')}"
    assert why in second and third.removeprefix(" next: ").startswith(how or CORRECT)
    assert "hunter2" not in first + second + third


def test_all_mistakes_come_at_once_unknown_keys_first(tmp_path: Path) -> None:
    """A misspelt key explains the missing one, so it comes first; `--json` has them all."""
    text = HERE + (
        "    poll: often\n    services:\n      b: {ecs_servce: b, container: c, repository: r}\n"
        "    clutser: x\n"
    )
    assert refused(tmp_path, text) == [
        "error: invoke.yaml:9:11: environments.here.services.b.ecs_servce",
        "  why: unknown key",
        "       invoke.yaml:10:5: environments.here.clutser: unknown key; did you mean cluster?",
        "       invoke.yaml:7:5: environments.here.poll: found 'often'; allowed: a number of "
        "seconds, or a number with s, m or h (300, 30s, 5m, 1h)",
        "       invoke.yaml:9:7: environments.here.services.b.ecs_service: this required key is "
        "missing; add it (docs/configuration.md)",
        " next: did you mean ecs_service?",
    ]
    with pytest.raises(Malformed) as caught:
        read(tmp_path)
    assert caught.value.as_document()["mistakes"][1] == {
        "file": "invoke.yaml",
        "variable": None,
        "line": 10,
        "column": 5,
        "key": "environments.here.clutser",
        "why": "unknown key",
        "next": "did you mean cluster?",
    }


def test_duplicate_keys_are_all_reported(tmp_path: Path) -> None:
    """Each with the line of the first."""
    assert refused(tmp_path, "env: a\nenv: b\nrun: {}\nrun: {}\n") == [
        "error: invoke.yaml:2:1",
        "  why: the key env is already in line 1",
        "       invoke.yaml:4:1: the key run is already in line 3; remove one of the two, or "
        "rename it",
        " next: remove one of the two, or rename it",
    ]


def test_mistakes_of_several_files_are_reported_together(tmp_path: Path) -> None:
    """Each in its own file: the user's, the project's, and the given one."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".invoke.yaml").write_text("tasks: {dedupe: maybe}\n")
    (tmp_path / "invoke.yaml").write_text("enviroments: {}\n")
    (tmp_path / "given.yaml").write_text("run:\n  dry: perhaps\n  eco: 1\n")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, tmp_path / "given.yaml")
    text = str(caught.value)
    assert f"{tmp_path}/home/.invoke.yaml:1:9: tasks.dedupe: found text; allowed: true or" in text
    assert text.startswith("error: invoke.yaml:1:1: enviroments\n")
    assert "given.yaml:2:3: run.dry: found text; allowed: true or false" in text
    assert "given.yaml:3:3: run.eco: unknown key; did you mean echo?" in text


def test_a_mistake_that_another_file_hides_is_found(tmp_path: Path) -> None:
    """An overlay and a `-f FILE` hide values of the files below, not their mistakes."""
    (tmp_path / "over.yaml").write_text("poll: 1s\ndatabase: {hots: a}\n")
    text = HERE + "    services: {}\n    overlay: over.yaml\n    poll: often\n    database: 5\n"
    assert refused(tmp_path, text) == [
        "error: over.yaml:2:12: environments.here.database.hots",
        "  why: unknown key",
        "       over.yaml:2:1: environments.here.database: found a mapping; allowed: a single "
        "value, as in the configuration below it",
        "       invoke.yaml:9:5: environments.here.poll: found 'often'; allowed: a number of "
        "seconds, or a number with s, m or h (300, 30s, 5m, 1h)",
        "       invoke.yaml:10:5: environments.here.database: found 5; allowed: a mapping of keys",
        " next: did you mean host?",
    ]


@pytest.mark.parametrize(
    "more",
    [
        "database: {run: local}",
        "database: {run: tunnel}\n    bastion: {host: b}",
        "database: {run: task, task: {service: b, bundle: s3://b/p, variables: {url: U}}}",
        "database: {run: task, task: {service: b, variables: {url: U}}}\n    state: {bucket: b}",
    ],
)
def test_a_route_with_its_sections_is_valid(tmp_path: Path, more: str) -> None:
    text = f"{HERE}    services: {{b: {{{SERVICE}}}}}\n    {more}\n"
    (tmp_path / "invoke.yaml").write_text(text)
    assert read(tmp_path).settings.environment.database


def test_a_missing_key_belongs_to_the_file_of_its_section(tmp_path: Path) -> None:
    """Not to the overlay, which has the environment's other values."""
    (tmp_path / "over.yaml").write_text("poll: 1s\n")
    text = HERE.replace("cluster:", "clutser:") + "    services: {}\n    overlay: over.yaml\n"
    lines = refused(tmp_path, text)
    assert "clutser" in lines[0] and lines[1] == "  why: unknown key"
    assert lines[2].startswith("       invoke.yaml:3:3: environments.here.cluster: this required")


def test_another_environments_overlay_may_be_missing_but_not_malformed(tmp_path: Path) -> None:
    """`env.check` validates all environments: a platform may be down, a torn overlay is named."""
    other = HERE.partition("  here:\n")[2]
    (tmp_path / "invoke.yaml").write_text(
        f"{HERE}    services: {{}}\n  other:\n{other}    services: {{}}\n    overlay: over.yaml\n"
    )
    config_load.check_all(loaded(tmp_path), tmp_path)
    (tmp_path / "over.yaml").write_text("poll: [")
    with pytest.raises(ConfigError) as caught:
        config_load.check_all(loaded(tmp_path), tmp_path)
    assert caught.value.what.startswith("overlay over.yaml:2:1") and caught.value.next == CORRECT


@pytest.mark.parametrize(
    ("variables", "lines"),
    [
        (
            {"INVOKE_ENVIRONMENTS_HERE_POLL": "often"},
            [
                "error: INVOKE_ENVIRONMENTS_HERE_POLL: environments.here.poll",
                "  why: found 'often'; allowed: a number of seconds, or a number with s, m or h "
                "(300, 30s, 5m, 1h)",
                f" next: {CORRECT}",
            ],
        ),
        (
            {"INVOKE_ENVIRONMENTS": "5"},
            [
                "error: environment variable INVOKE_ENVIRONMENTS",
                "  why: it names a section, and a variable sets a single key",
                " next: unset it; set INVOKE_ENVIRONMENTS_KEY, or use a file: -f FILE",
            ],
        ),
        (
            {"INVOKE_ENVIRONMENTS_HERE_STATE_BUCKET": "b"},
            [
                "error: environment variable INVOKE_ENVIRONMENTS_HERE_STATE_BUCKET",
                "  why: no file sets environments.here.state.bucket, and Invoke sets a key by a "
                "variable only if a file sets it too",
                " next: set environments.here.state.bucket in invoke.yaml, or in a file: -f FILE",
            ],
        ),
        (
            {"INVOKE_EMV": "a", "INVOKE_RUN_DRY": "no"},
            [
                "error: environment variable INVOKE_EMV",
                "  why: it matches no key of the configuration, so it would be ignored",
                "       environment variable INVOKE_RUN_DRY=no: a boolean takes 1 or nothing (any "
                "other word, false and 0 too, would count as true); type INVOKE_RUN_DRY=1 or "
                "INVOKE_RUN_DRY=",
                " next: did you mean INVOKE_ENV?",
            ],
        ),
        (
            {"INVOKE_ENV": "hree"},
            [
                "error: environment 'hree' (INVOKE_ENV)",
                "  why: configured are: here",
                " next: did you mean here?",
            ],
        ),
    ],
)
def test_a_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], lines: list[str]
) -> None:
    """A mistake in a variable is not reported as one of a file."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert refused(tmp_path, HERE + "    services: {}\n    poll: 5s\n") == lines


@pytest.mark.parametrize(
    ("name", "with_yaml", "why"),
    [
        ("invoke.toml", False, "no TOML"),
        ("invoke.toml", True, "it reads invoke.yaml"),
        ("invoke.json", True, "it reads invoke.yaml"),
    ],
)
def test_a_project_file_that_invoke_ignores_is_refused(
    tmp_path: Path, name: str, with_yaml: bool, why: str
) -> None:
    """Invoke reads one project file, and no TOML; its silence could lead to another account."""
    (tmp_path / name).write_text("")
    if with_yaml:
        (tmp_path / "invoke.yaml").write_text("env: here\n")
    with pytest.raises(ConfigError, match=why) as caught:
        read(tmp_path)
    assert caught.value.what == f"configuration file {name}"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: None, "there is no such file"),
        (lambda path: path.symlink_to(path), "there is no such file|symbolic links"),
    ],
)
def test_a_given_file_that_is_none_is_refused(tmp_path: Path, make: Any, why: str) -> None:
    """`-f FOLDER`, a missing file, a link to itself."""
    path = tmp_path / "given.yaml"
    make(path)
    with pytest.raises(ConfigError, match=why):
        read(tmp_path, path)


def test_every_namespace_is_reserved(tmp_path: Path) -> None:
    """A service of that name would silently replace our tasks."""
    import tasks

    services = {name for name in tasks.ns.collections if "deploy" in tasks.ns.collections[name]}
    ours = {name.partition(".")[0] for name in tasks.ns.task_names} - services
    assert {"env", "db", "status", "preflight"} <= ours and services == {"backend", "frontend"}
    for name in sorted(ours):
        lines = refused(tmp_path, HERE + f"    services: {{{name}: {{{SERVICE}}}}}\n")
        assert lines[2] == f" next: rename it: {name}-app"


def leaves(model: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the settings; `NAME` for names and positions."""
    for name, field in model.model_fields.items():
        inner, named = model_in(field.annotation)
        yield (*path, name)
        if inner:
            yield from leaves(inner, (*path, name, *(["NAME"] if named else [])))


def nested(path: tuple[str, ...], value: Any) -> Any:
    """The value at a key path, in mappings and lists."""
    for key in reversed(path):
        value = {key: value} if key != "NAME" else {"x": value}
    return value


WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    10**20,
    "",
    "x y",
    "é\n",
    [1],
    {"a": 1},
    [[]],
    [None],
)


def test_no_sentence_of_pydantic_reaches_a_user() -> None:
    """Every key with a dozen wrong values: each message says what was found and what is allowed."""
    from ops.core.config.settings import Environment
    from ops.core.config.validation import _errors

    tried = 0
    for path in leaves(Environment):
        for value in WRONG:
            for problem in _errors("here", nested(path, value)):
                tried += 1
                assert not any(word in problem.why for word in PYDANTIC), (path, value, problem)
                if problem.kind == 1:
                    assert problem.why.startswith("found ") and "; allowed: " in problem.why
                    assert not problem.why.endswith("a value of another kind"), (path, value)
    assert tried > 1000
