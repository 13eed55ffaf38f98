"""Settings by table: what is accepted, and what each mistake says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.core.config import load
from ops.core.config.types import seconds
from ops.core.errors import ConfigError
from ops.core.ui import parse_seconds

ROOT = Path(__file__).resolve().parents[2]
SERVICE = {"ecs_service": "backend", "container": "backend", "repository": "davidshaevel/backend"}


def environment(**over: Any) -> dict[str, Any]:
    return {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "c",
        "services": {"backend": SERVICE},
        **over,
    }


def read(values: dict[str, Any], root: Path = ROOT) -> Any:
    return load.read({"env": "here", "environments": {"here": values}}, root)


def test_the_shipped_configuration_is_valid() -> None:
    """Both environments of invoke.yaml validate (the sandbox's overlay aside)."""
    environments = yaml.safe_load((ROOT / "invoke.yaml").read_text())["environments"]
    environments["sandbox"].pop("overlay")
    for name in environments:
        assert (
            load.read({"env": name, "environments": environments}, ROOT)
            .environment.services["backend"]
            .container_port
        )


@pytest.mark.parametrize(
    ("values", "where", "says"),
    [
        (environment(acount="1"), "environments.here.acount", "did you mean account?"),
        (environment(account=123456789012), "environments.here.account", "in quotes"),
        (environment(account="12"), "environments.here.account", "found '12'"),
        (environment(deploy_timeout="soon"), "environments.here.deploy_timeout", "5m"),
        (environment(rollout="kubernetes"), "environments.here.rollout", "ecs or terraform"),
        (
            environment(services={"backend": {**SERVICE, "container_prot": 1}}),
            "services.backend.container_prot",
            "container_port",
        ),
        (
            environment(services={"backend": {"container": "b", "repository": "r"}}),
            "services.backend.ecs_service",
            "missing",
        ),
        (environment(services={"db": SERVICE}), "service name 'db'", "namespace"),
        (environment(services={"Back_end": SERVICE}), "service name 'Back_end'", "a-z"),
        (
            environment(aws={"secret_key": "s3cr3t"}),
            "environments.here.aws.secret_key",
            "no setting carries a secret",
        ),
        (
            environment(overlay="not-there.yaml", overlay_hint="inv sandbox.up"),
            "not-there.yaml is missing",
            "inv sandbox.up",
        ),
    ],
)
def test_a_mistake_names_file_key_and_what_is_allowed(
    values: dict[str, Any], where: str, says: str
) -> None:
    """Every mistake is exit 2 and says where, what was found and what is allowed; a secret is never
    shown.
    """
    with pytest.raises(ConfigError) as caught:
        read(values)
    assert where in str(caught.value) and says in str(caught.value)
    assert caught.value.code == 2 and "s3cr3t" not in str(caught.value)


def test_an_overlay_is_merged_section_by_section(tmp_path: Path) -> None:
    """The overlay's keys win, its neighbours stay, and the file itself is not changed by
    reading.
    """
    (tmp_path / "over.yaml").write_text(
        "site: http://127.0.0.1:1\ndatabase: {host: 127.0.0.1}\naws: {secret_key: x}\n"
    )
    found = read(
        environment(overlay="over.yaml", site="http://a", database={"secret": "s"}), tmp_path
    ).environment
    assert (found.site, found.database.host, found.database.secret, found.aws.secret_key) == (
        "http://127.0.0.1:1",
        "127.0.0.1",
        "s",
        "x",
    )


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "just words"])
def test_a_broken_overlay_is_named(tmp_path: Path, text: str) -> None:
    """An overlay that is no mapping is a configuration error."""
    (tmp_path / "over.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"over\.yaml"):
        read(environment(overlay="over.yaml"), tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [("300", 300), (300, 300), ("5m", 300), ("1h", 3600), ("30s", 30), ("1.5m", 90)],
)
def test_durations(text: Any, value: float) -> None:
    """Seconds, or a number with s, m or h."""
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "-5", "5 minutes", True, "5m; rm -rf /"])
def test_no_durations(text: Any) -> None:
    """Anything else is refused with the forms that are allowed."""
    with pytest.raises(ValueError, match="5m"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "allowed"), [("9999999h", "at most a year"), ("0", "more than 0")]
)
def test_a_limit_is_more_than_nothing_and_at_most_a_year(text: str, allowed: str) -> None:
    """Zero seconds would end every wait at once, and timers overflow at some length."""
    with pytest.raises(ConfigError, match=allowed):
        read(environment(deploy_timeout=text), Path())
    with pytest.raises(ConfigError, match=allowed):
        parse_seconds("timeout", text)


def test_no_wait_for_a_lock_is_allowed() -> None:
    """`--lock-wait 0` asks for none."""
    assert parse_seconds("lock-wait", "0") == 0


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"INVOKE_NO_SUCH": "1"}, "matches no key"),
        ({"INVOKE_EMV": "dev"}, "did you mean INVOKE_ENV?"),
        ({"INVOKE_FLAG": "false"}, "would count as true"),
        ({"INVOKE_FLAG": "0"}, "would count as true"),
    ],
)
def test_invoke_variables_are_held_to_keys_and_booleans(
    variables: dict[str, str], says: str
) -> None:
    """Invoke would ignore the first two and take the others for true."""
    with pytest.raises(ConfigError, match=says.replace("?", r"\?")):
        load.check_variables(variables, {"env": "sandbox", "flag": True})


def test_good_invoke_variables_pass() -> None:
    """A variable that matches a key, and a boolean as 1 or nothing, are taken."""
    load.check_variables(
        {"INVOKE_ENV": "dev", "INVOKE_FLAG": "", "PATH": "x"}, {"env": "sandbox", "flag": True}
    )


def test_build_arguments_may_hold_braces() -> None:
    """Only {tag} and {commit} are filled in: JSON and shell parameters stay as they are."""
    arguments = {
        "VERSION": "{tag}-{commit}",
        "FEATURES": '{"search": true}',
        "OPEN": "{",
        "SHELL": "${X:-{}}",
    }
    service = read(
        environment(services={"backend": {**SERVICE, "build_args": arguments}})
    ).environment.services["backend"]
    filled = {**arguments, "VERSION": "v1-abc"}
    assert service.filled_build_args("v1", "abc") == filled
