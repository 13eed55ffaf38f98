"""PG* variables, service files and ~/.pgpass count only where no user is configured."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from ops.core.config.database import Database
from ops.core.config.settings import Settings
from ops.core.errors import Unreachable
from ops.migrations.tunnel import Tunnel
from ops.migrator import libpq
from ops.postgres import access, facts
from tests.migrations.project import PLACE
from tests.migrator.migrating import Project

FOREIGN = {
    "PGHOST": "elsewhere.invalid",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGDATABASE": "other",
    "PGUSER": "other",
    "PGPASSWORD": "other",
    "PGPASSFILE": "/nowhere",
    "PGSERVICE": "absent",
    "PGSYSCONFDIR": "/nowhere",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGTARGETSESSIONATTRS": "standby",
    "PGLOADBALANCEHOSTS": "random",
    "PGREQUIREAUTH": "none",
    "PGREQUIREPEER": "other",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nowhere",
    "PGSSLCERT": "/nowhere",
    "PGSSLNEGOTIATION": "direct",
    "PGCHANNELBINDING": "require",
    "PGCONNECT_TIMEOUT": "none",
    "PGCLIENTENCODING": "LATIN1",
    "PGTZ": "Asia/Tokyo",
    "PGDATESTYLE": "German",
}
SESSION = """
SELECT name, setting FROM pg_settings
WHERE name IN ('default_transaction_read_only', 'TimeZone', 'DateStyle', 'client_encoding')
"""


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)


def test_no_variable_changes_where_a_connection_goes_or_what_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same server, database, user and session as without them; children see them as before."""
    with libpq.connect(project.target.parameters) as plain:
        before = (plain.info.hostaddr, plain.info.port, plain.execute(SESSION).fetchall())
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    with libpq.connect(project.target.parameters) as opened:
        assert (
            opened.info.hostaddr,
            opened.info.port,
            opened.execute(SESSION).fetchall(),
        ) == before
        assert (opened.info.dbname, opened.info.user) == (
            project.target.parameters["dbname"],
            project.target.parameters["user"],
        )
    seen = subprocess.run(
        ["printenv", *FOREIGN], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert seen == list(FOREIGN.values()) and os.environ["PGHOSTADDR"] == FOREIGN["PGHOSTADDR"]


def test_every_parameter_alone_withstands_its_variable(project: Project, foreign: None) -> None:
    """psycopg reads `os.environ` too, and another thread may restore the variables meanwhile."""
    for name in ("PGSERVICE", "PGREQUIREAUTH"):  # these have no value that means "not set"
        del os.environ[name]
    with psycopg.connect(**libpq.complete(project.target.parameters)) as opened:
        assert opened.execute("SHOW default_transaction_read_only").fetchone() == ("off",)


def test_a_host_that_does_not_resolve_is_not_found_elsewhere(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In libpq PGHOSTADDR beats a configured host: a migration would run on another server."""
    known = project.target.parameters
    configured = Database(
        host="prod-db.invalid",
        port=int(known["port"]),
        name=str(known["dbname"]),
        sslmode="disable",
    )
    secret = {"username": str(known["user"]), "password": str(known["password"])}
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    with pytest.raises(Unreachable, match=r"prod-db\.invalid"):
        facts.revision(configured, secret)
    with pytest.raises(Unreachable, match=r"prod-db\.invalid"):
        facts.read_vitals(facts.connection_parameters(configured, secret))


def test_a_configured_host_counts_without_a_secret_too(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password may come from the environment then; the server's address may not."""
    known = project.target.parameters
    (tmp_path / "alembic" / "versions").mkdir(parents=True, exist_ok=True)
    for name, key in (("PGUSER", "user"), ("PGPASSWORD", "password"), ("PGPORT", "port")):
        monkeypatch.setenv(name, str(known[key]))
    configured = {"host": known["host"], "name": known["dbname"], "sslmode": "disable"}
    for host, variable in ((known["host"], "192.0.2.1"), ("prod-db.invalid", known["host"])):
        monkeypatch.setenv("PGHOSTADDR", variable)
        values = {**PLACE, "database": {**configured, "host": host}}
        settings = Settings(name="here", root=tmp_path, environment=values)
        with access.open_database(settings, pytest.fail) as door:
            if host == known["host"]:
                assert access.ping(door).user == known["user"]
            else:
                with pytest.raises(Unreachable, match=r"prod-db\.invalid"):
                    access.ping(door)


def test_passwords_come_from_the_usual_places_only_without_a_configured_user(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """~/.pgpass and PGUSER serve a database without a secret, and no secret without a password."""
    known = dict(project.target.parameters)
    password, user = known.pop("password"), known.pop("user")
    passwords = tmp_path / ".pgpass"
    passwords.write_text(f"*:*:*:*:{password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGUSER", user)
    with libpq.connect(known) as opened:
        assert opened.info.user == user
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        libpq.connect({**known, "user": user, "password": ""})


def test_the_psql_of_a_tunnel_leaves_out_what_would_redirect_it(foreign: None) -> None:
    """All but PGPASSWORD and PGPASSFILE, by which a person may give the password."""
    typed = Tunnel(
        "here", "database app", {"user": "ann", "host": "db", "hostaddr": "127.0.0.1", "port": 1}
    ).psql
    assert typed.startswith("env -u PG") and typed.endswith(
        " psql 'host=db hostaddr=127.0.0.1 port=1 user=ann'"
    )
    assert "-u PGOPTIONS " in typed and "-u PGSERVICE " in typed and "PGPASS" not in typed
    assert Tunnel(
        "here", "database app", {"host": "db", "hostaddr": "127.0.0.1", "port": 1}
    ).psql.startswith("psql ")
