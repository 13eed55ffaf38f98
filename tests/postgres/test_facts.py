"""PostgreSQL's revision, from a real server, and the project's pending revisions, from real
files.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ops.aws.secrets import Secret
from ops.core.config.database import Database
from ops.core.errors import ConfigError, Unreachable
from ops.postgres import facts
from ops.sandbox.contracts import Paths
from ops.sandbox.database import Server, purge
from tests.factories import free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    paths = Paths(tmp_path_factory.mktemp("database"))
    started = Server(paths, free_port())
    started.start()
    yield started
    started.stop()
    purge(paths)


@pytest.fixture
def secret(server: Server) -> Secret:
    login = server.login
    return Secret(
        {
            "username": login.username,
            "password": login.password,
            "host": login.host,
            "port": login.port,
            "dbname": login.database,
        }
    )


def execute(secret: Secret, statement: str) -> None:
    words: dict[str, Any] = {
        "host": secret["host"],
        "port": secret["port"],
        "user": secret["username"],
        "password": secret["password"],
        "dbname": secret["dbname"],
    }
    with psycopg.connect(autocommit=True, **words) as connection:
        connection.execute(statement)


PLAIN = Database(sslmode="disable")


def test_the_revision_and_none_without_its_table(secret: Secret) -> None:
    """What alembic_version holds; None where it is empty or was never made; several heads
    joined.
    """
    assert facts.revision(PLAIN, secret) == "0002"
    try:
        execute(secret, "INSERT INTO alembic_version VALUES ('0001x')")
        assert facts.revision(PLAIN, secret) == "0001x,0002"
        execute(secret, "DELETE FROM alembic_version")
        assert facts.revision(PLAIN, secret) is None
        execute(secret, "ALTER TABLE alembic_version RENAME TO away")
        assert facts.revision(PLAIN, secret) is None
    finally:
        execute(secret, "ALTER TABLE IF EXISTS away RENAME TO alembic_version")
        execute(secret, "DELETE FROM alembic_version")
        execute(secret, "INSERT INTO alembic_version VALUES ('0002')")


def test_what_is_configured_wins_over_the_secret(secret: Secret) -> None:
    """A host, port or name in invoke.yaml is where it connects to; an RDS-managed secret has none
    of them.
    """
    managed = Secret({"username": secret["username"], "password": secret["password"]})
    configured = Database(
        sslmode="disable", host=secret["host"], port=int(secret["port"]), name=secret["dbname"]
    )
    assert facts.revision(configured, managed) == "0002"
    wrong = Secret({**secret, "host": "nowhere.invalid", "port": "1"})
    assert facts.revision(configured, wrong) == "0002"


@pytest.mark.parametrize(
    ("missing", "key"),
    [("host", "database.host"), ("dbname", "database.name"), ("username", "database.secret")],
)
def test_what_is_known_nowhere_is_asked_for(missing: str, key: str) -> None:
    """Host, name or user that neither configuration nor secret has: exit 2, and the key to set."""
    whole = {"username": "u", "password": "HUSH", "host": "h", "dbname": "d"}
    with pytest.raises(ConfigError) as error:
        facts.revision(
            PLAIN, Secret({name: value for name, value in whole.items() if name != missing})
        )
    assert key in error.value.next and "HUSH" not in str(error.value)


@pytest.mark.parametrize("password", ["HUSH", "HU@SH/%20' \\ :x"])
def test_a_wrong_password_is_said_and_not_shown(secret: Secret, password: str) -> None:
    """The server's refusal, and what to do; the password, whatever it holds, is nowhere."""
    with pytest.raises(Unreachable, match="password authentication failed") as error:
        facts.revision(PLAIN, Secret({**secret, "password": password}))
    assert password not in str(error.value) and secret["password"] not in str(error.value)
    assert "secret" in error.value.next


@pytest.mark.parametrize(
    ("change", "settings", "why", "next_words"),
    [
        ({"dbname": "absent"}, {}, "does not exist", "database.name"),
        ({"port": str(free_port())}, {}, "refused", "security group"),
        ({}, {"sslmode": "require"}, "SSL", "sslmode"),
        ({}, {"sslmode": "verify-full"}, "SSL", "sslmode"),
        ({"host": "nowhere.invalid"}, {}, "nowhere.invalid", "check host"),
    ],
)
def test_other_ways_not_to_get_in(
    secret: Secret, change: dict[str, str], settings: dict[str, Any], why: str, next_words: str
) -> None:
    """Each is unreachable, in three lines, without the password."""
    with pytest.raises(Unreachable) as error:
        facts.revision(Database(**{"sslmode": "disable", **settings}), Secret({**secret, **change}))
    assert why in error.value.why and next_words in error.value.next
    assert secret["password"] not in str(error.value) and len(str(error.value).splitlines()) == 3


def test_a_server_that_says_nothing_is_not_waited_for(secret: Secret) -> None:
    """A port that accepts and is silent ends within the limit."""
    import time

    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Unreachable):
            facts.revision(PLAIN, Secret({**secret, "port": silent.getsockname()[1]}))
        assert time.monotonic() - began < 9
