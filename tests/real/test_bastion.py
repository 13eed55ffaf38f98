"""Migrations through a real bastion: OpenSSH, three network namespaces, PostgreSQL with TLS checked
against its name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.deploy.deploying import read_until
from tests.real import bastion_ground as ground
from tests.real.bastion_ground import Ground

pytestmark = [pytest.mark.xdist_group("bastion"), pytest.mark.timeout(240)]
SLOW = "SELECT pg_sleep(8)"


@pytest.fixture(scope="module")
def whole(require: Any, new_checkout: Callable[[str], Checkout]) -> Iterator[Ground]:
    require("sshd")
    require("netns")
    postgres = Path(require("postgres")).resolve()
    with TemporaryDirectory(
        prefix="ops-far-"
    ) as folder:  # pytest's own are closed to the database's user
        yield from ground.made(new_checkout("bastion"), Path(folder), postgres.parent)


@pytest.fixture
def far(whole: Ground) -> Ground:
    whole.clear()
    whole.write(1, "CREATE TABLE one (id bigint)", "DROP TABLE one")
    return whole


def test_the_operator_has_no_way_to_the_database_but_the_bastion(far: Ground) -> None:
    """No route; and through the bastion TLS is checked against the database's own name, by the
    configured authority.
    """
    probe = (
        f"import socket; socket.create_connection(('{ground.DATABASE_ADDRESS}', "
        f"{ground.PG_PORT}), 3)"
    )
    assert subprocess.run(
        ground.inside(ground.OPERATOR, "python3", "-c", probe), capture_output=True, check=False
    ).returncode
    found = far.document("db.ping")
    assert found["reachable"] and found["tls"].startswith("TLS")
    overlay = far.checkout.root / "far.yaml"
    text = overlay.read_text()
    overlay.write_text(text.replace("authority.pem", "other.pem"))
    try:
        for word in ("db.ping", "db.upgrade"):
            done = far.inv(word)
            assert (
                done.returncode == 1 and "certificate" in done.stderr and " next: " in done.stderr
            ), done.stderr
    finally:
        overlay.write_text(text)


def test_a_connection_that_breaks_is_taken_up_again(far: Ground) -> None:
    """Every SSH session dies in the middle of a long revision: the run goes on, and the watcher has
    all of it in the end.
    """
    far.write(2, SLOW)
    watching = far.start("db.upgrade", "--json")
    read_until(watching, "continues unattended")
    read_until(watching, "upgrade 0002")
    far.kill_connections()
    out, said = watching.communicate(timeout=90)
    assert watching.returncode == 0 and "connected again" in said, said
    assert '"to": "0002"' in out
    assert far.document("db.attach")["to"] == "0002"


def test_whoever_went_away_comes_back_to_the_whole_log(far: Ground) -> None:
    """The watcher is killed and its network is gone; later `db.attach` tells everything from the
    beginning, and the result.
    """
    far.write(2, SLOW)
    watching = far.start("db.upgrade")
    read_until(watching, "continues unattended")
    read_until(watching, "upgrade 0002")
    ground.run(*ground.inside(ground.OPERATOR, "ip", "link", "set", "ops-a", "down"))
    watching.kill()
    watching.communicate()
    time.sleep(2)
    ground.run(*ground.inside(ground.OPERATOR, "ip", "link", "set", "ops-a", "up"))
    done = far.inv("db.attach", "--json")
    assert done.returncode == 0 and "upgrade 0001" in done.stderr and "upgrade 0002" in done.stderr
    assert far.document("db.current")["revision"] == "0002"


def test_a_killed_runner_is_lost_and_the_schema_is_told_truly(far: Ground) -> None:
    """kill -9 on the bastion: exit 1, `lost`, where the database stands; the next run settles it
    and goes on.
    """
    far.write(2, "CREATE TABLE two (id bigint)", "DROP TABLE two")
    far.write(3, SLOW)
    watching = far.start("db.upgrade")
    read_until(watching, "continues unattended")
    read_until(watching, "upgrade 0003")
    os.kill(far.runner(), signal.SIGKILL)
    _, said = watching.communicate(timeout=60)
    assert (
        watching.returncode == 1
        and "is lost: its runner was killed" in said
        and "the database is at 0002" in said
    ), said
    assert far.document("db.upgrade", "--lock-wait", "30")["to"] == "0003"
    assert far.document("db.history")["runs"][1]["result"] == "lost"


@pytest.mark.parametrize("how", ["lost", "cancelled"])
def test_the_end_is_told_after_a_cut_too(far: Ground, how: str) -> None:
    """The first way to the database died with the network: whoever came back asks by the new one
    where it stands.
    """
    far.write(2, ground.WAITS)
    watching = far.start("db.upgrade")
    read_until(watching, "continues unattended")
    read_until(watching, "upgrade 0002")
    far.kill_connections()
    read_until(watching, "connected again")
    if how == "lost":
        os.kill(far.runner(), signal.SIGKILL)
    else:
        assert far.document("db.cancel")["state"] == "cancelled"
    _, said = watching.communicate(timeout=60)
    assert (
        watching.returncode == (1 if how == "lost" else 130)
        and how in said
        and "the database is at 0001" in said
    ), said
    far.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")


def test_who_may_not_come_back_is_told_which_run_it_was(far: Ground) -> None:
    """Another key answers after the cut: refused with it (exit 3), and the run that goes on is
    named.
    """
    far.write(2, ground.WAITS)
    watching = far.start("db.upgrade")
    said = read_until(watching, "continues unattended")
    run = said.rsplit("run ", 1)[1].split()[0]
    known = far.folder / "known_hosts"
    text = known.read_text()
    known.write_text("")
    try:
        far.kill_connections()
        _, said = watching.communicate(timeout=60)
    finally:
        known.write_text(text)
    assert (
        watching.returncode == 3
        and f"run {run} can't be reached, and continues" in said
        and "SHA256:" in said
    ), said
    assert f"inv db.attach --run {run}" in said
    assert far.document("db.cancel")["run"] == run


def test_of_two_operators_one_runs_and_one_is_told(far: Ground) -> None:
    """The second is refused with the first's name (exit 3) and leaves nothing."""
    far.write(2, ground.WAITS)
    first = far.start("db.upgrade")
    read_until(first, "continues unattended")
    read_until(first, "upgrade 0002")
    second = far.inv("db.upgrade", "--lock-wait", "1")
    assert (
        second.returncode == 3 and "db.upgrade" in second.stderr and "holds it" in second.stderr
    ), second.stderr
    far.tell()
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_the_password_is_nowhere_to_be_seen(far: Ground) -> None:
    """During a run, of every host: no argument and no environment has it; afterwards no log, record
    or error.
    """
    far.write(2, ground.WAITS)
    far.write(3, f"SELECT '{ground.PASSWORD}'::int")
    watching = far.start("db.upgrade", "--json")
    read_until(watching, "continues unattended")
    read_until(watching, "upgrade 0002")
    read = {
        path: held(path)
        for process in Path("/proc").glob("[0-9]*")
        for path in (process / "cmdline", process / "environ")
    }
    assert (
        sum(map(bool, read.values())) > 20
        and [path for path, text in read.items() if ground.PASSWORD.encode() in text] == []
    )
    far.tell()
    out, said = watching.communicate(timeout=60)
    assert watching.returncode == 1 and "0003" in said and ground.PASSWORD not in out + said
    mine = [
        path
        for path in far.kept
        if ground.PASSWORD.encode() in path.read_bytes() and "code" not in path.parts
    ]
    assert far.kept and mine == []
    told = far.inv("db.history", "--json")
    audit = far.sql(
        "SELECT r::text FROM ops_migrations.runs r UNION ALL SELECT s::text FROM "
        "ops_migrations.steps s"
    )
    assert (
        "0003" in told.stdout
        and "0003" in audit
        and ground.PASSWORD not in told.stdout + told.stderr + audit
    )


def held(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_what_fails_in_the_middle_is_told_as_it_is(far: Ground) -> None:
    """The second of three fails, CONCURRENTLY fails: what is said is what is there, and the next
    run goes on.
    """
    far.write(2, "SELECT 1/0")
    far.write(3, "CREATE TABLE three (id bigint)", "DROP TABLE three")
    done = far.inv("db.upgrade")
    assert done.returncode == 1 and "0002" in done.stderr and "division by zero" in done.stderr
    assert far.document("db.current")["revision"] == "0001"

    far.sql("SET ROLE app; INSERT INTO one VALUES (1), (1)")
    far.write(
        2, "CREATE UNIQUE INDEX CONCURRENTLY one_id ON one (id)", "DROP INDEX one_id", outside=True
    )
    done = far.inv("db.upgrade")
    assert done.returncode == 1 and "could not create unique index" in done.stderr
    assert far.document("db.current")["revision"] == "0001"
    assert far.sql("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == "0"

    far.sql("DELETE FROM one")
    assert far.document("db.upgrade")["to"] == "0003"


def test_a_lock_in_the_way_is_tried_again_and_told(far: Ground) -> None:
    """Somebody's transaction holds the table: 55P03 at each try, nothing of the revision stays
    (exit 6), and the next run goes on.
    """
    far.write(2, "ALTER TABLE one ADD COLUMN more text", "ALTER TABLE one DROP COLUMN more")
    assert far.document("db.upgrade", "--to", "0001")["to"] == "0001"
    with far.holding("one"):
        done = far.inv("db.upgrade", "--timeout", "4")
        assert (
            done.returncode == 6
            and "revision 0002 failed" in done.stderr
            and "lock timeout (55P03)" in done.stderr
        ), done.stderr
        assert (
            "retrying in" in done.stderr
            and "nothing of it remains" in done.stderr
            and "the database is at 0001" in done.stderr
        )
    assert far.document("db.current")["revision"] == "0001"
    assert far.document("db.upgrade")["applied"][0]["revision"] == "0002"


def test_a_bastion_that_forbids_forwarding_serves_runs_and_reads(far: Ground) -> None:
    """AllowTcpForwarding no, one session at a time: a run, its cancelling, and all
    reads work; only db.tunnel is refused (exit 3).
    """
    strict = far.strict_sshd()
    overlay = far.checkout.root / "far.yaml"
    text = overlay.read_text()
    overlay.write_text(text.replace(f"port: {ground.SSH_PORT}", f"port: {strict}"))
    try:
        assert far.document("db.upgrade")["to"] == "0001"
        assert far.document("db.current")["revision"] == "0001"
        far.write(2, ground.WAITS)
        assert [each["revision"] for each in far.document("db.pending")["pending"]] == ["0002"]
        watching = far.start("db.upgrade")
        read_until(watching, "upgrade 0002")
        assert far.document("db.cancel")["state"] == "cancelled"
        watching.communicate(timeout=60)
        assert watching.returncode == 130
        done = far.inv("db.tunnel", "--timeout", "5")
        assert done.returncode == 3 and "forwarding is forbidden there" in done.stderr, done.stderr
    finally:
        overlay.write_text(text)
        far.clear()
