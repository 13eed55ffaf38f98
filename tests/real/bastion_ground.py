"""Three network namespaces: the operator, a bastion with OpenSSH, and a network behind it with
PostgreSQL over TLS.

The operator has no route to the database, only to the bastion; the bastion alone knows the database
by its name. All of it is real: the kernel's routing, sshd, the server's certificate."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.checkout import Checkout
from tests.real.bastion_network import (
    AWS_PORT,
    BASTION,
    BASTION_ADDRESS,
    DATABASE,
    DATABASE_ADDRESS,
    NAME,
    OPERATOR,
    OWN,
    PASSWORD,
    PG_PORT,
    SSH_PORT,
    inside,
    networks,
    run,
    stop,
)
from tests.waiting import until

WAITS = "SELECT until_told()"  # as long as the test needs, however slow the machine is
UNTIL_TOLD = """
CREATE FUNCTION until_told() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'told') LOOP PERFORM pg_sleep(0.1); END LOOP;
END $$
"""
SECRET = """
import json, sys, boto3
client = boto3.client("secretsmanager", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
client.create_secret(Name="db", SecretString=sys.stdin.read())
"""
SSHD = """
Port {port}
ListenAddress {address}
HostKey {folder}/host
AuthorizedKeysFile {folder}/identity.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
AllowTcpForwarding {forwarding}
"""


@dataclass
class Ground:
    """The three of them, and a checkout in the operator's."""

    checkout: Checkout
    folder: Path
    ends: ExitStack = field(default_factory=ExitStack)

    def command(self, *words: str) -> list[str]:
        return inside(
            OPERATOR, sys.executable, "-m", "invoke", "--search-root", self.checkout.root, *words
        )

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "INVOKE_ENV": "far"}

    def inv(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.checkout.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def document(self, *words: str) -> dict[str, Any]:
        done = self.inv(*words, "--json")
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.checkout.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sql(self, statement: str) -> str:
        """As the database's own administrator, from its own network."""
        words = [
            "psql",
            "-XAtq",
            "-h",
            self.folder / "socket",
            "-p",
            PG_PORT,
            "-U",
            "postgres",
            "-d",
            "app",
            "-c",
            statement,
        ]
        return run(*inside(DATABASE, *OWN, *(str(word) for word in words))).strip()

    @contextmanager
    def holding(self, table: str) -> Iterator[None]:
        """Somebody's transaction that holds the table, for as long as this does."""
        words = (
            "psql",
            "-XAtq",
            "-h",
            str(self.folder / "socket"),
            "-p",
            str(PG_PORT),
            "-U",
            "postgres",
            "-d",
            "app",
        )
        process = subprocess.Popen(
            inside(DATABASE, *OWN, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin and process.stdout
        process.stdin.write(
            f"BEGIN;\nLOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\nSELECT 'held';\n"
        )
        process.stdin.flush()
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.communicate("ROLLBACK;\n", timeout=20)

    def write(self, number: int, up: str, down: str = "SELECT 1", *, outside: bool = False) -> Path:
        """A revision of the checkout; `outside` of a transaction for CONCURRENTLY."""
        body = (
            f"with op.get_context().autocommit_block():\n        op.execute({up!r})"
            if outside
            else f"op.execute({up!r})"
        )
        file = self.checkout.root / "alembic" / "versions" / f"{number:04}_planted.py"
        below = f'"{number - 1:04}"' if number > 1 else "None"
        file.write_text(
            f'"""Planted {number}."""\n\nfrom alembic import op\n\nrevision = '
            f'"{number:04}"\ndown_revision = {below}\n\n\n'
            f"def upgrade() -> None:\n    {body}\n\n\ndef downgrade() -> None:\n    "
            f"op.execute({down!r})\n"
        )
        return file

    def clear(self) -> None:
        """An empty database in which nothing is at work, and no revisions; `WAITS` is known."""
        for file in (self.checkout.root / "alembic" / "versions").glob("*.py"):
            file.unlink()
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        self.sql(
            "DROP SCHEMA IF EXISTS ops_migrations CASCADE; DROP SCHEMA public CASCADE; "
            "CREATE SCHEMA public AUTHORIZATION app"
        )
        self.sql(UNTIL_TOLD)

    def tell(self) -> None:
        """The revision that waits goes on."""
        self.sql("CREATE TABLE told ()")

    def kill_connections(self) -> None:
        """Every SSH session of this bastion dies at once; sshd itself stays."""
        for pid in run("ip", "netns", "pids", BASTION).split():
            with suppress(OSError):  # one ends by the other's end
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sshd: root"):
                    os.kill(int(pid), signal.SIGKILL)

    def strict_sshd(self) -> int:
        """The port of another sshd on the bastion, which forbids forwarding and parallel sessions."""
        port = SSH_PORT + 1
        words = {"address": BASTION_ADDRESS, "folder": self.folder, "forwarding": "no"}
        file = self.folder / "sshd_strict"
        file.write_text(SSHD.format(port=port, **words) + "MaxSessions 1\n")
        key = (self.folder / "host.pub").read_text()
        with (self.folder / "known_hosts").open("a") as known:
            known.write(f"[{BASTION_ADDRESS}]:{port} {key}")
        self.serve(BASTION, shutil.which("sshd") or "sshd", "-D", "-f", file)
        probe = inside(BASTION, "bash", "-c", f"echo > /dev/tcp/{BASTION_ADDRESS}/{port}")
        until(lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0)
        return port

    def runner(self) -> int:
        """The process that migrates on this bastion now, by the newest run's own word."""
        newest = max(
            (self.folder / "far" / "runs" / "far").glob("*/run.json"),
            key=lambda path: path.stat().st_mtime,
        )
        return int(json.loads(newest.read_text())["pid"])

    @property
    def kept(self) -> list[Path]:
        """Every file that the bastion and the operator keep of the runs."""
        folders = (self.folder / "far", self.folder / "home", self.checkout.root / ".ops")
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return [path for path in files if not path.name.endswith((".pyc", ".so", ".gz"))]

    def serve(
        self, namespace: str, *words: str | Path, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / "servers.log").open("ab") as log:
            process = subprocess.Popen(
                inside(namespace, *words), env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.ends.callback(stop, process)
        return process


def postgres(ground: Ground, binaries: Path) -> None:
    import trustme

    data, authority = ground.folder / "data", trustme.CA()
    authority.cert_pem.write_to_path(str(ground.folder / "authority.pem"))
    trustme.CA().cert_pem.write_to_path(str(ground.folder / "other.pem"))
    for folder in (data, ground.folder / "socket"):
        folder.mkdir()
        shutil.chown(folder, "postgres", "postgres")
    run(
        *OWN,
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-sync",
        cwd="/",
    )
    made = authority.issue_cert(NAME)
    made.private_key_pem.write_to_path(str(data / "server.key"))
    made.cert_chain_pems[0].write_to_path(str(data / "server.crt"))
    (data / "server.key").chmod(0o600)
    for file in ("server.key", "server.crt"):
        shutil.chown(data / file, "postgres", "postgres")
    (data / "pg_hba.conf").write_text(
        "local all postgres trust\nhostssl all app all scram-sha-256\n"
    )
    socket = ground.folder / "socket"
    options = {
        "listen_addresses": DATABASE_ADDRESS,
        "unix_socket_directories": socket,
        "ssl": "on",
        "fsync": "off",
        "port": PG_PORT,
    }
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    ground.serve(DATABASE, *OWN, binaries / "postgres", "-D", data, *words)
    ask = inside(
        DATABASE,
        *OWN,
        "psql",
        "-Xq",
        "-h",
        ground.folder / "socket",
        "-p",
        str(PG_PORT),
        "-U",
        "postgres",
    )
    until(
        lambda: (
            subprocess.run([*ask, "-c", "SELECT 1"], capture_output=True, check=False).returncode
            == 0
        )
    )
    subprocess.run(
        ask,
        input=f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';\nCREATE DATABASE app OWNER app;\n",
        text=True,
        check=True,
    )


def configure(ground: Ground) -> None:
    """The environment `far`, as an overlay would be written by whoever made the platform."""
    bastion = {
        "host": BASTION_ADDRESS,
        "port": SSH_PORT,
        "user": "root",
        "identity_file": str(ground.folder / "identity"),
        "known_hosts": str(ground.folder / "known_hosts"),
        "ssh_config": str(ground.folder / "ssh_config"),
        "python": str(Path(sys.executable).resolve()),
        "cache": str(ground.folder / "far"),
    }
    overlay = {
        "aws": {"endpoint": f"http://127.0.0.1:{AWS_PORT}", "access_key": "a", "secret_key": "b"},
        "bastion": bastion,
        "database": {
            "secret": "db",
            "sslmode": "verify-full",
            "sslrootcert": str(ground.folder / "authority.pem"),
            "lock_timeout": 0.5,
        },
    }
    (ground.checkout.root / "far.yaml").write_text(yaml.safe_dump(overlay))
    file = ground.checkout.root / "invoke.yaml"
    values = yaml.safe_load(file.read_text())
    values["environments"] = {
        "far": {
            "account": "123456789012",
            "region": "us-east-1",
            "cluster": "c",
            "services": {},
            "overlay": "far.yaml",
        }
    }
    file.write_text(yaml.safe_dump(values))


def made(checkout: Checkout, folder: Path, binaries: Path) -> Iterator[Ground]:
    """All of it, until the generator is closed."""
    ground = Ground(checkout, folder)
    folder.chmod(0o755)  # the database's own user has to get here
    with ground.ends:
        networks(ground.ends)
        for name in ("host", "identity"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
        (folder / "known_hosts").write_text(
            f"[{BASTION_ADDRESS}]:{SSH_PORT} {(folder / 'host.pub').read_text()}"
        )
        (folder / "ssh_config").write_text("")
        (folder / "home").mkdir()
        (folder / "sshd_config").write_text(
            SSHD.format(port=SSH_PORT, address=BASTION_ADDRESS, folder=folder, forwarding="yes")
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        postgres(ground, binaries)
        ground.serve(BASTION, shutil.which("sshd") or "sshd", "-D", "-f", folder / "sshd_config")
        ground.serve(
            OPERATOR, sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(AWS_PORT)
        )
        secret = {
            "username": "app",
            "password": PASSWORD,
            "host": NAME,
            "port": str(PG_PORT),
            "dbname": "app",
        }
        put = inside(OPERATOR, sys.executable, "-c", SECRET, f"http://127.0.0.1:{AWS_PORT}")
        until(
            lambda: (
                subprocess.run(
                    put, input=json.dumps(secret), text=True, capture_output=True, check=False
                ).returncode
                == 0
            )
        )
        configure(ground)
        yield ground
