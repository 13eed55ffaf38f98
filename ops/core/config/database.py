"""The schema of `database:` and `bastion:` in `invoke.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ops.core.config.types import Model, Port, PositiveSeconds, Seconds, Text


class DatabaseTunnel(Model):
    """The task or EC2 instance that a Session Manager tunnel to the database leads through."""

    service: Text | None = Field(
        None, description="Service whose running task is used; it needs ECS Exec."
    )
    container: Text | None = Field(
        None, description="Container of that task. Default: the service's `container`."
    )
    instance: Text | None = Field(None, description="EC2 instance id, instead of a service.")

    @model_validator(mode="after")
    def _one_target(self) -> DatabaseTunnel:
        if bool(self.service) == bool(self.instance):
            found = "both" if self.service else "neither"
            raise ValueError(f"found {found}; allowed: one of service and instance")
        if self.container and self.instance:
            raise ValueError("allowed: a container of a service's task only")
        return self


class TaskVariables(Model):
    """Environment variables of the container that hold the database's parameters.

    The task definition gets them from its `secrets`, so that no password leaves the container.
    """

    password: Text | None = Field(None, description="Variable with the password.")
    user: Text | None = Field(None, description="Variable with the user's name.")
    host: Text | None = Field(None, description="Variable with the host; `database.host` wins.")
    port: Text | None = Field(None, description="Variable with the port; `database.port` wins.")
    name: Text | None = Field(
        None, description="Variable with the database's name; `database.name` wins."
    )
    url: Text | None = Field(
        None, description="Variable with a postgresql:// URL, instead of the others."
    )
    secret: Text | None = Field(
        None,
        description="Variable with a whole secret as JSON (username, password, host, port, "
        "dbname), instead of the others.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> TaskVariables:
        found = self.model_dump(exclude_none=True)
        if len(found) > 1 and found.keys() & {"url", "secret"}:
            raise ValueError(
                "allowed: url alone, secret alone, or password with user, host, port and name; "
                f"not {' with '.join(found)}"
            )
        return self


class DatabaseTask(Model):
    """The one-off ECS task that reaches the database (`run: task`)."""

    service: Text = Field(
        description="Service whose network the task gets, and whose revision without "
        "`task_definition`."
    )
    task_definition: Text | None = Field(
        None,
        description="FAMILY or FAMILY:REVISION of an image with Python. Default: the service's.",
    )
    container: Text | None = Field(
        None, description="Container that runs the migration. Default: the service's."
    )
    python: Text = Field("python3", description="Python 3.11 or newer in the image.")
    libraries: Literal["bundle", "image"] = Field(
        "bundle",
        description="`bundle`: the libraries are fetched from S3; `image`: the image has alembic, "
        "sqlalchemy and psycopg.",
    )
    bundle: Text | None = Field(
        None,
        description="s3://BUCKET/PREFIX for the bundles and the messages. Default: `tasks` below "
        "`state`.",
    )
    variables: TaskVariables = Field(
        description="Environment variables of the container with the database's parameters."
    )


class Database(Model):
    """The application's PostgreSQL and how to reach it."""

    run: Literal["local", "remote", "tunnel", "task"] | None = Field(
        None,
        description="`remote`: on the bastion; `tunnel`: from here, through `tunnel` or the "
        "bastion; `task`: in a one-off ECS task; `local`: from here. Default: remote if there is "
        "a bastion, tunnel if `tunnel` is set, else local.",
    )
    tunnel: DatabaseTunnel | None = Field(
        None,
        description="What the tunnel leads through if not the bastion: Session Manager's port "
        "forwarding (needs session-manager-plugin).",
    )
    task: DatabaseTask | None = Field(None, description="The task of `run: task`.")
    secret: Text | None = Field(
        None,
        description="Secrets Manager secret: username, password; host, port, dbname if present. "
        "Default: the one that RDS manages for `instance`.",
    )
    instance: Text | None = Field(None, description="RDS instance identifier.")
    name: Text | None = Field(
        None, description="Database name. Default: the secret's, else the RDS instance's."
    )
    host: Text | None = Field(
        None, description="Address to connect to, if it differs from the secret's."
    )
    port: Port | None = Field(None, description="Port, if it differs from the secret's.")
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "verify-full", description="How TLS is checked, as libpq's `sslmode`."
    )
    sslrootcert: Text | None = Field(
        None,
        description="File with the CA bundle, relative to the file that names it, or `system`; "
        "default: the system's.",
    )
    lock_timeout: Seconds = Field(
        5.0,
        description="Longest wait of a migration for one lock; then it is rolled back and retried.",
    )
    statement_timeout: Seconds = Field(
        1800.0, description="Longest run of one statement of a migration."
    )
    wait: Seconds = Field(10.0, description="Longest wait for another migration to end.")
    role: Text | None = Field(
        None,
        description="Role of every session (SET ROLE), as the owner of the schema; "
        "default: the user itself.",
    )
    migrations: Text | None = Field(
        None,
        description="Folder with the revisions (env.py and versions/), or `none`. "
        "Default: that of alembic.ini, else alembic/.",
    )
    snapshot: bool = Field(
        False, description="Take an RDS snapshot before a migration that loses rows."
    )
    metadata: Text | None = Field(
        None,
        description="`module:attribute` of the SQLAlchemy metadata that --autogenerate compares "
        "with.",
    )


class Bastion(Model):
    """The SSH host that reaches the database.

    Anything not set here is read from ~/.ssh/config, as ssh does (by `ssh -G`).
    """

    host: Text = Field(
        description="Name, address, or a Host of ssh_config. Migrations run on it (`run: remote`)."
    )
    user: Text | None = Field(None, description="User to log in as.")
    port: Port | None = Field(None, description="Port of its sshd.")
    gateway: Text | None = Field(
        None,
        description="Jump host: [user@]host[:port], or a command with %h and %p "
        "(ProxyCommand; `aws ssm start-session …`).",
    )
    ssh_config: Text | None = Field(
        None,
        description="File to read instead of ~/.ssh/config, relative to the file that names it.",
    )
    known_hosts: Text | None = Field(
        None,
        description="File instead of ~/.ssh/known_hosts; unknown or changed keys are refused.",
    )
    identity_file: Text | None = Field(
        None,
        description="Private key, in the file or in the agent; default: those of ssh_config and of "
        "the agent.",
    )
    python: Text = Field("python3", description="Python on the bastion, for `run: remote`.")
    cache: Text = Field(
        ".cache/ecs-runbook",
        description="Folder below the home on the bastion, for bundles and runs.",
    )
    connect_timeout: PositiveSeconds = Field(10.0, description="Longest wait for the connection.")
