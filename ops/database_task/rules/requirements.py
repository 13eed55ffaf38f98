"""What a task definition must have so that its image can run migrations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.aws.facts import ContainerDefinition, TaskDefinition
from ops.core.errors import ConfigError, OpsError, Refused
from ops.ecs.rules.task_definition_refs import log_driver, log_options

if TYPE_CHECKING:
    from ops.core.config.database import TaskVariables

_OVERRIDES_LIMIT = 8192  # characters of RunTask's overrides
_SCHEME = "s3://"
# runs before anything of ours: it checks what it fetches, and says why it can't
_BOOTSTRAP = """
import hashlib, json, os, sys, urllib.request
def fail(why):
    print("ops-task " + json.dumps({"error": why}), flush=True)
    sys.exit(70)
if sys.version_info < (3, 6):
    fail("Python %d.%d is too old: 3.11 is needed" % sys.version_info[:2])
try:
    text = urllib.request.urlopen(os.environ.pop("OPS_TASK_URL"), timeout=60).read()
except Exception as error:
    fail("the loader could not be fetched from S3: %s" % error)
found = hashlib.sha256(text).hexdigest()
if found != os.environ["OPS_TASK_SHA256"]:
    fail("the loader in S3 has a wrong digest: " + found[:16])
exec(compile(text, "loader", "exec"), {"__name__": "loader"})
"""


@dataclass(frozen=True)
class LogPlace:
    """The log group of a container, and the prefix of its streams."""

    group: str
    prefix: str
    region: str

    def stream(self, container: str, task: str) -> str:
        return f"{self.prefix}/{container}/{task}"


@dataclass(frozen=True)
class ObjectPlace:
    """A bucket and a prefix of keys in it; `setting` is the key of invoke.yaml that names it."""

    bucket: str
    prefix: str
    setting: str = field(default="state.bucket", compare=False)

    def key(self, *names: str) -> str:
        return "/".join(filter(None, (self.prefix, *names)))

    def __str__(self) -> str:
        return _SCHEME + "/".join(filter(None, (self.bucket, self.prefix)))


def object_place(configured: str | None, bucket: str | None, prefix: str) -> ObjectPlace:
    """The place of `database.task.bundle`, else `tasks` below that of `state`.

    Raises ConfigError if neither is configured.
    """
    if configured:
        name, _, path = configured.removeprefix(_SCHEME).partition("/")
        if not configured.startswith(_SCHEME) or not name:
            raise ConfigError(
                f"database.task.bundle: {configured}",
                "it is not s3://BUCKET or s3://BUCKET/PREFIX",
                "correct it in invoke.yaml",
            )
        return ObjectPlace(name, path.strip("/"), "database.task.bundle")
    if not bucket:
        raise ConfigError(
            "database.run is task, and there is no bucket for its bundles and messages",
            "neither database.task.bundle nor state.bucket is configured",
            "set database.task.bundle: s3://BUCKET/PREFIX in invoke.yaml",
        )
    return ObjectPlace(bucket, f"{prefix}/tasks")


def check_container(definition: TaskDefinition, name: str) -> ContainerDefinition:
    """The container of a task definition. Raises ConfigError."""
    found = definition.container(name)
    if found is None:
        names = ", ".join(str(each.get("name")) for each in definition.containers)
        raise ConfigError(
            f"{definition.label} has no container {name}",
            f"its containers are: {names}",
            "correct database.task.container in invoke.yaml",
        )
    return found


def check_log(definition: TaskDefinition, container: ContainerDefinition) -> LogPlace:
    """Where the output goes. Raises Refused without awslogs: its end could not be read."""
    driver, options = log_driver(container), log_options(container)
    name, what = container.get("name"), f"{definition.label} can't run migrations"
    how = "give the container a logConfiguration with awslogs, or set database.task.task_definition"
    if driver != "awslogs":
        where = f"has the log driver {driver}" if driver else "has no logConfiguration"
        raise Refused(
            what, f"container {name} {where}: its output would not be in CloudWatch Logs", how
        )
    for option in ("awslogs-group", "awslogs-stream-prefix"):
        if not options.get(option):
            why = f"the logConfiguration of container {name} has no {option}"
            raise Refused(what, why, how)
    return LogPlace(
        options["awslogs-group"],
        options["awslogs-stream-prefix"],
        options.get("awslogs-region") or "",
    )


def check_platform(definition: TaskDefinition) -> None:
    """Raise Refused for Windows containers, which have neither our paths nor our signals."""
    family = str((definition.document.get("runtimePlatform") or {}).get("operatingSystemFamily"))
    if family.startswith("WINDOWS"):
        raise Refused(
            f"{definition.label} can't run migrations",
            f"its operating system is {family}",
            "set database.task.task_definition to one of a Linux image with Python",
        )


def check_variables(
    definition: TaskDefinition, container: ContainerDefinition, variables: Mapping[str, str]
) -> None:
    """Raise ConfigError for a variable that the container does not have.

    Environment files are not read, so with one of them the task decides.
    """
    given = [*(container.get("secrets") or ()), *(container.get("environment") or ())]
    names = {str(each.get("name")) for each in given}
    missing = [(key, name) for key, name in variables.items() if name not in names]
    if missing and not container.get("environmentFiles"):
        key, name = missing[0]
        raise ConfigError(
            f"container {container.get('name')} of {definition.label} has no variable {name}",
            f"its variables are: {', '.join(sorted(names)) or 'none'}",
            f"correct database.task.variables.{key} in invoke.yaml",
        )


def plain_passwords(
    definition: TaskDefinition, name: str, variables: Mapping[str, str]
) -> Iterator[str]:
    """Warnings of passwords that the task definition holds itself, in plain text."""
    described = definition.container(name) or {}
    plain = {str(each.get("name")) for each in described.get("environment") or ()}
    for kind in ("password", "url", "secret"):
        if variables.get(kind) in plain:
            yield (
                f"warning: {variables[kind]} (database.task.variables.{kind}) is in plain text in "
                f"the environment of {definition.label}: move it to the container's secrets"
            )


def variable_names(configured: TaskVariables) -> dict[str, str]:
    """The configured variables by their kind. Raises ConfigError without a password's source."""
    found = {kind: name for kind, name in configured.model_dump().items() if name}
    if not found.keys() & {"password", "url", "secret"}:
        raise ConfigError(
            "database.task.variables names no variable with the password",
            "one of password, url and secret is needed",
            "add it in invoke.yaml: the password is never sent from here",
        )
    return found


def overrides(container: str, python: str, url: str, sha256: str, key: str) -> dict[str, Any]:
    """RunTask's overrides: our command, and how it gets and checks the loader.

    They have no secret of the database. The URL reads one object and expires; the key signs this
    run's messages and is worth nothing without write access to them. Raises OpsError if they are
    too long.
    """
    variables = {"OPS_TASK_URL": url, "OPS_TASK_SHA256": sha256, "OPS_TASK_KEY": key}
    found = {
        "containerOverrides": [
            {
                "name": container,
                "command": [python, "-I", "-u", "-c", _BOOTSTRAP],
                "environment": [{"name": name, "value": text} for name, text in variables.items()],
            }
        ]
    }
    length = len(json.dumps(found))
    if length > _OVERRIDES_LIMIT:
        raise OpsError(
            "the task's overrides are too long",
            f"they have {length} characters, and RunTask takes {_OVERRIDES_LIMIT}: the session "
            "token in the presigned URL is unusually long",
            "use credentials without session tags, or an IAM role with fewer of them",
        )
    return found


def loader_errors(lines: tuple[str, ...], mark: str) -> Iterator[str]:
    """The errors that the task itself printed before it could begin."""
    for line in lines:
        if line.startswith(mark):
            try:
                document = json.loads(line.removeprefix(mark))
            except ValueError:
                continue
            if isinstance(document, dict) and "error" in document:
                yield str(document["error"])
