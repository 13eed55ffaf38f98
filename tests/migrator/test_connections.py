"""How a session is opened: its limits, and what becomes of one that breaks on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.migrator import connections
from ops.migrator.model import MigrateError, TargetDatabase
from tests.migrator.migrating import Project
from tests.relay import Relay


def test_every_session_has_its_limits(project: Project) -> None:
    """A revision runs under all of them, and one that sets its own does not pass them on."""
    note = (
        "INSERT INTO seen SELECT '{}', name, setting FROM pg_settings WHERE name LIKE "
        "'%timeout%' OR name LIKE 'client_conn%_interval'"
    )
    project.write(
        "0001",
        "CREATE TABLE seen (r text, name text, setting text);"
        + note.format(1)
        + "; SET lock_timeout = '9s'",
    )
    project.write("0002", note.format(2))
    project.run()
    for revision in ("1", "2"):
        found = dict(project.ask(f"SELECT name, setting FROM seen WHERE r = '{revision}'"))
        limits = [
            found[name]
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        ]
        assert limits == ["300", "20000", "300000"]
        assert found.get("client_connection_check_interval", "2000") == "2000"


@pytest.mark.parametrize(("refused", "opens"), [(1, True), (2, False)])
def test_a_way_that_breaks_while_it_is_opened_is_tried_once_more(
    project: Project, refused: int, opens: bool
) -> None:
    """A bastion may drop a new channel; one that drops each is told, in three lines."""
    way = Relay(int(project.target.parameters["port"]), refused=refused)
    there: TargetDatabase = replace(
        project.target, parameters={**project.target.parameters, "port": way.port}
    )
    try:
        if opens:
            with connections.connect(there, "twice") as opened:
                assert opened.execute("SELECT 1").fetchone() == (1,)
        else:
            with pytest.raises(MigrateError, match="closed the connection unexpectedly"):
                connections.connect(there, "never")
        assert way.refused == 0
    finally:
        way.close()


def test_a_failed_connection_says_where_it_led() -> None:
    """Port 1 answers nothing on loopback."""
    target = TargetDatabase("", {"host": "127.0.0.1", "port": 1, "dbname": "app", "user": "u"})
    with pytest.raises(MigrateError) as error:
        connections.connect(target, "never")
    assert error.value.what == "cannot connect to database app on 127.0.0.1:1"
    assert error.value.kind == "unreachable" and "refused" in error.value.why
