"""Order of strength, the origin of each key, and paths relative to the file that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.core.config import load as config_load
from ops.core.errors import ConfigError
from tests.core.test_config_mistakes import HERE, loaded, read

KEY = ("environments", "here", "branch")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a user whose home is a folder of its own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home / ".invoke.yaml"


def branch(name: str) -> str:
    return f"environments: {{here: {{branch: {name}}}}}\n"


def test_the_order_of_strength_is_invokes(
    tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User < project < INVOKE_* < -f < overlay, each added to the others wins over them."""
    project, given, over = (tmp_path / name for name in ("invoke.yaml", "given.yaml", "over.yaml"))
    project.write_text(HERE + "    services: {}\n")
    assert read(tmp_path).settings.environment.branch == "main"

    user.write_text(branch("user"))
    found = read(tmp_path)
    assert found.settings.environment.branch == "user"
    assert str(found.layers.place(KEY)) == f"{user}:1:23"

    project.write_text(HERE + "    services: {}\n    branch: project\n")
    found = read(tmp_path)
    assert found.settings.environment.branch == "project"
    assert str(found.layers.place(KEY)) == "invoke.yaml:8:5"

    monkeypatch.setenv("INVOKE_ENVIRONMENTS_HERE_BRANCH", "variable")
    found = read(tmp_path)
    assert found.settings.environment.branch == "variable"
    assert str(found.layers.place(KEY)) == "INVOKE_ENVIRONMENTS_HERE_BRANCH"

    given.write_text(branch("given"))
    found = read(tmp_path, given)
    assert found.settings.environment.branch == "given"
    assert str(found.layers.place(KEY)) == "given.yaml:1:23"

    over.write_text("branch: overlay\n")
    given.write_text(branch("given, overlay: over.yaml"))
    found = read(tmp_path, given)
    assert found.settings.environment.branch == "overlay"
    assert str(found.layers.place(KEY)) == "over.yaml:1:1"
    origins = [layer.label for layer in found.layers.origins(KEY)]
    assert origins == ["over.yaml", "given.yaml", "variables", "invoke.yaml", str(user)]


def test_paths_are_relative_to_the_file_that_names_them(
    tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`source`, `overlay` and certificates of a `-f FILE` elsewhere; `~` is the home."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = tmp_path / "project"
    root.mkdir()
    (root / "invoke.yaml").write_text(
        HERE + "    services: {}\n    source: ../app\n    site_ca: ca.pem\n"
        "    bastion: {host: b, identity_file: ~/.ssh/key}\n"
    )
    settings = read(root).settings
    assert settings.source == root / "../app" and settings.environment.source == "../app"
    assert settings.environment.site_ca == str(root / "ca.pem")
    assert settings.environment.bastion
    assert settings.environment.bastion.identity_file == str(user.parent / ".ssh/key")

    given = elsewhere / "given.yaml"
    given.write_text(
        "environments:\n  here:\n    source: app\n    overlay: over/values.yaml\n"
        "    database: {sslrootcert: system}\n    bastion: {known_hosts: known}\n"
    )
    (elsewhere / "over").mkdir()
    (elsewhere / "over" / "values.yaml").write_text("site_ca: own.pem\n")
    environment = read(root, given).settings.environment
    assert environment.source == str(elsewhere / "app")
    assert environment.site_ca == str(elsewhere / "over" / "own.pem")
    assert environment.bastion and environment.database
    assert environment.bastion.known_hosts == str(elsewhere / "known")
    assert environment.database.sslrootcert == "system"

    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("INVOKE_ENVIRONMENTS_HERE_SOURCE", "mine")
    assert read(root).settings.environment.source == str(elsewhere / "mine")


def test_a_merge_key_has_a_place(tmp_path: Path) -> None:
    """A key that `<<: *alias` brings in stands where the alias is defined."""
    (tmp_path / "invoke.yaml").write_text(
        "run: {env: &base {branch: next}}\n"
        'env: here\nenvironments:\n  here:\n    <<: *base\n    account: "123456789012"\n'
        "    region: r\n    cluster: c\n    services: {}\n"
    )
    found = read(tmp_path)
    assert found.settings.environment.branch == "next"
    assert str(found.layers.place(KEY)) == "invoke.yaml:1:19"


def test_none_says_that_there_is_no_such_thing(tmp_path: Path, user: Path) -> None:
    """`database: none` is reviewed once; nothing asks for it again, and `env.show` shows it."""
    (tmp_path / "invoke.yaml").write_text(
        HERE + "    services: {}\n    database: none\n    cdn: none\n    site: none\n"
        "    terraform: none\n    state: none\n"
    )
    found = read(tmp_path)
    environment = found.settings.environment
    assert environment.absent == {"database", "cdn", "site", "terraform", "state"}
    assert environment.database is None and environment.site is None
    assert environment.cdn.alias is None and environment.cdn.poll == 5.0
    assert environment.model_copy(update={"branch": "x"}).absent == environment.absent
    with pytest.raises(ConfigError) as refused:
        found.settings.refuse_none("cdn", "CDN")
    assert refused.value.what == "environment here has no CDN"
    assert refused.value.why == "cdn: none, by configuration"
    found.settings.refuse_none("health", "checks")


def test_only_what_may_be_missing_is_none(tmp_path: Path, user: Path) -> None:
    """`health: none` is a mistake; so is `none` over a section of another file."""
    (tmp_path / "invoke.yaml").write_text(HERE + "    services: {}\n    health: none\n")
    with pytest.raises(ConfigError, match="found 'none'; allowed: a mapping of keys"):
        read(tmp_path)
    (tmp_path / "invoke.yaml").write_text(HERE + "    services: {}\n    state: {bucket: b}\n")
    (tmp_path / "given.yaml").write_text("environments: {here: {state: none}}\n")
    with pytest.raises(ConfigError, match=r"given\.yaml:1:23: environments\.here\.state"):
        read(tmp_path, tmp_path / "given.yaml")


def test_the_option_is_the_origin_of_the_environment(
    tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--env NAME` over INVOKE_ENV over the file."""
    (tmp_path / "invoke.yaml").write_text(HERE + "    services: {}\n")
    monkeypatch.setenv("INVOKE_ENV", "here")
    config = loaded(tmp_path)
    config.load_overrides({"env": "here"})
    layers = config_load.read_configuration(config, tmp_path).layers
    places = [str(each.place(("env",))) for each in layers.origins(("env",))]
    assert places == ["--env", "INVOKE_ENV", "invoke.yaml:1:1"]
