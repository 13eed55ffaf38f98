"""`env.show`: every effective value with its origin, and no secret."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from ops.core.config import load
from ops.core.errors import ConfigError
from ops.environment import read_files
from ops.environment.check import _run
from ops.environment.show import show
from tests.core.test_config_mistakes import HERE, SERVICE, read

ARGUMENTS = "API_TOKEN: hunter2-and-more, V: '1'"
CREDENTIAL = "AKIAABCDEFGHIJKLMNOP"  # a form that redaction knows, not a real one


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> load.Configuration:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "invoke.yaml").write_text(
        HERE + f"    services: {{b: {{{SERVICE}, build_args: {{{ARGUMENTS}}}}}}}\n"
        "    overlay: over.yaml\n    branch: next\n    deploy_timeout: 90s\n"
        f"    site: https://me:hunter2@example.com\n    alb: http://{CREDENTIAL}\n"
    )
    (tmp_path / "over.yaml").write_text(
        "aws: {endpoint: 'http://a', access_key: hunter2, secret_key: hunter2}\nbranch: over\n"
    )
    monkeypatch.setenv("INVOKE_ENVIRONMENTS_HERE_DEPLOY_TIMEOUT", "2m")
    return read(tmp_path)


def test_each_value_has_its_origin(configuration: load.Configuration) -> None:
    """File with line and column, variable, or default; and what it overrides."""
    lines = [
        "  ".join(part.strip() for part in line.split("  ") if part.strip())
        for line in show(configuration).text.splitlines()
    ]
    for expected in (
        "env: here  # invoke.yaml:1:1",
        "branch: over  # over.yaml:2:1, over invoke.yaml:9:5",
        "deploy_timeout: 2m  # INVOKE_ENVIRONMENTS_HERE_DEPLOY_TIMEOUT, over invoke.yaml:10:5",
        "poll: 4s  # default",
        "ecs_service: b  # invoke.yaml:7:20",
        "account: '123456789012'  # invoke.yaml:4:5",
    ):
        assert expected in lines


@pytest.mark.parametrize(
    ("database", "bastion", "run"),
    [
        ("{}", "", "local"),
        ("{tunnel: {service: b}}", "", "tunnel"),
        ("{}", "    bastion: {host: h}\n", "remote"),
    ],
)
def test_the_way_to_the_database_is_the_one_that_is_taken(
    tmp_path: Path, database: str, bastion: str, run: str
) -> None:
    """The default of `database.run` depends on other keys."""
    (tmp_path / "invoke.yaml").write_text(
        HERE + f"    services: {{b: {{{SERVICE}}}}}\n    database: {database}\n{bastion}"
    )
    found = show(read(tmp_path), "database.run").text
    assert found.startswith(f"{run} ") and found.endswith("# default")


def test_an_optional_duration_is_printed_as_one(tmp_path: Path) -> None:
    """`settle` has no default, and takes 90 as well as 90s."""
    (tmp_path / "invoke.yaml").write_text(
        HERE + f"    services: {{b: {{{SERVICE}, settle: 90}}}}\n"
    )
    assert show(read(tmp_path), "services.b.settle").text.startswith("90s ")


def test_the_text_is_yaml_that_means_the_same(configuration: load.Configuration) -> None:
    """It can be read again: numbers, quotes and sections are right."""
    found = yaml.safe_load(show(configuration).text)
    assert found["account"] == "123456789012" and found["env"] == "here"
    assert found["services"]["b"]["build_args"]["V"] == "1"
    assert found["health"]["keep"] == 20 and found["protected"] is False


def test_secrets_are_never_printed(configuration: load.Configuration) -> None:
    """Keys of AWS, a password in an address, a token of a build, a credential by its form."""
    result = show(configuration)
    for text in (result.text, str(result.document)):
        assert "hunter2" not in text and CREDENTIAL not in text
    hidden = {each["key"] for each in result.document["values"] if each["value"] == "(hidden)"}
    assert {"aws.access_key", "aws.secret_key", "site", "services.b.build_args.API_TOKEN"} <= hidden


@pytest.mark.parametrize(
    ("keys", "printed"),
    [
        ("endpoints: [{path: /, headers: {X-Api-Key: hunter2, Accept: text/html}}]", "text/html"),
        ("endpoints: [{path: /, headers: {Cookie: hunter2}}]", "Cookie"),
        ("tests: [make, --password, hunter2]", "tests: (hidden)"),
        ("tests: [env, API_TOKEN=hunter2, make, all]", '["env", "(hidden)", "make", "all"]'),
        ("tests: [pytest, tests/test_token.py]", "test_token.py"),
    ],
)
def test_a_secret_by_the_name_beside_it(tmp_path: Path, keys: str, printed: str) -> None:
    """A header's name, or the option before a word, says that a value is secret."""
    (tmp_path / "invoke.yaml").write_text(HERE + f"    services: {{b: {{{SERVICE}, {keys}}}}}\n")
    result = show(read(tmp_path))
    assert printed in result.text
    assert "hunter2" not in result.text + str(result.document)


def test_the_check_of_a_test_program_leaves_out_its_words(tmp_path: Path) -> None:
    """`env.check` names the program that is missing, and no word after it."""
    service = f"{SERVICE}, tests: [./run-tests, --password, hunter2]"
    (tmp_path / "invoke.yaml").write_text(HERE + f"    services: {{b: {{{service}}}}}\n")
    found = _run(list(read_files.reads(read(tmp_path).settings)), time.monotonic() + 60)
    (program,) = [each for each in found if each.key == "services.b.tests"]
    assert program.status == "different" and program.configured == "./run-tests"
    assert "hunter2" not in str(found)


def test_one_value_one_section_and_an_unknown_key(configuration: load.Configuration) -> None:
    """`--key`, also with the whole path; a value that is not set is none."""
    assert show(configuration, "poll").text.split() == ["4s", "#", "default"]
    assert show(configuration, "environments.here.branch").text.startswith("over ")
    assert show(configuration, "database").text.split() == ["none", "#", "default"]
    assert show(configuration, "health").text.startswith("health:\n  deadline: 30s")
    document = show(configuration, "deploy_timeout").document
    assert document == {
        "environment": "here",
        "values": [
            {
                "key": "deploy_timeout",
                "value": 120.0,
                "origin": "variable",
                "file": None,
                "line": None,
                "column": None,
                "variable": "INVOKE_ENVIRONMENTS_HERE_DEPLOY_TIMEOUT",
                "overrides": ["invoke.yaml:10:5"],
            }
        ],
    }
    with pytest.raises(ConfigError) as caught:
        show(configuration, "helth.poll")
    assert caught.value.code == 2 and "no such key" in caught.value.why
