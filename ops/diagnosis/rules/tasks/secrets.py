"""Causes in the secrets and the log group of a task definition."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.tasks.stops import definition, stop_evidence, troubled

_KEY = re.compile(r"did not contain json key (?P<key>[\w.-]+)")
_KMS = re.compile(r"Access to KMS is not allowed|not authorized to perform:? kms:\w+")
_ARN = re.compile(r"arn:[\w-]+:secretsmanager:[\w-]+:\d*:secret:[\w/+=.@-]+")
_EXPLAINS = ("secret_missing", "secret_denied", "service_unsteady", "no_targets")


@cause(
    "secret_missing",
    layer="secret",
    symptoms="ECS says: ResourceInitializationError … ResourceNotFoundException.",
    cure="Create the secret, or correct valueFrom in the task definition.",
    explains=("service_unsteady", "no_targets"),
)
def secret_missing(incident: Incident) -> Iterator[Candidate]:
    """Secrets Manager does not know a secret of the task definition."""
    known = incident.content("secrets") or {}
    for service, stops in troubled(incident):
        failed = [each for each in stops if each.cause.code == "ECS-SEC-MISSING"]
        for arn in _arns(service) if failed else ():
            if arn not in known or known[arn] is not None:
                continue
            names = sorted(
                each["name"]
                for each in _container_secrets(service)
                if each["valueFrom"].startswith(arn)
            )
            yield Candidate(
                Finding(
                    "secret_missing",
                    f"{service.name}: the secret {arn.rpartition(':secret:')[2]} does not exist; "
                    f"{', '.join(names)} would be read from it",
                    "certain",
                    (
                        evidence("DescribeSecret", f"{arn}: ResourceNotFoundException"),
                        *map(stop_evidence, failed),
                    ),
                    service.rollback,
                ),
                service.name,
                "Secrets Manager itself does not know it, so no permission is involved",
            )


@cause(
    "log_group_missing",
    layer="log",
    symptoms="ECS says: ResourceInitializationError … log group does not exist.",
    cure="Create the log group, or set awslogs-create-group.",
    explains=("service_unsteady", "no_targets"),
)
def log_group_missing(incident: Incident) -> Iterator[Candidate]:
    """ECS says that the log group of a container does not exist."""
    for service, stops in troubled(incident):
        failed = [each for each in stops if each.cause.code == "ECS-LOG-MISSING"]
        revision = definition(service)
        container = revision.container(failed[0].cause.container) if failed and revision else None
        options = ((container or {}).get("logConfiguration") or {}).get("options") or {}
        group = options.get("awslogs-group", "")
        if group:
            yield Candidate(
                Finding(
                    "log_group_missing",
                    f"{service.name}: the log group {group} does not exist",
                    "certain",
                    tuple(map(stop_evidence, failed)),
                    (
                        f"{incident.aws} logs create-log-group --log-group-name {group}",
                        *service.rollback,
                    ),
                ),
                service.name,
                "ECS created the log stream with the execution role, and got this answer",
            )


@cause(
    "secret_key_missing",
    layer="secret",
    symptoms="ECS says: retrieved secret from Secrets Manager did not contain json key ….",
    cure="Write the key into the secret, or correct valueFrom in the task definition.",
    explains=_EXPLAINS,
)
def secret_key_missing(incident: Incident) -> Iterator[Candidate]:
    """A secret exists and lacks the JSON key that a task definition names."""
    for service, stops in troubled(incident):
        for stop in stops:
            found = _KEY.search(stop.text)
            if found is None:
                continue
            arn, variable = _user(service, found["key"])
            of = f"the secret {_name(arn)}" if arn else "a secret"
            uses = f", which {variable} is read from" if variable else ""
            what = (
                f"{incident.aws} ecs describe-task-definition --task-definition "
                f"{stop.task.task_definition} --query "
                "'taskDefinition.containerDefinitions[].secrets'"
            )
            yield Candidate(
                Finding(
                    "secret_key_missing",
                    f"{service.name}: {of} has no key {found['key']}{uses}",
                    "certain",
                    (stop_evidence(stop), *_value_from(arn, variable, found["key"])),
                    (*service.rollback, what),
                ),
                service.name,
                "ECS read the secret, so it exists and the role may read it",
            )


@cause(
    "secret_kms_denied",
    layer="role",
    symptoms="ECS says: AccessDeniedException: Access to KMS is not allowed.",
    cure="Allow kms:Decrypt on the secret's key to the execution role; enable the key.",
    explains=_EXPLAINS,
)
def secret_kms_denied(incident: Incident) -> Iterator[Candidate]:
    """The execution role may read a secret, but not decrypt it with its KMS key."""
    for service, stops in troubled(incident):
        for stop in stops:
            if not _KMS.search(stop.text):
                continue
            arn = _arn(stop.text)
            key, role = _kms_key(incident, arn), _role(service)
            known = evidence(f"DescribeSecret {_name(arn)}", "KmsKeyId:", key) if key else None
            yield Candidate(
                Finding(
                    "secret_kms_denied",
                    f"{service.name}: the execution role {role or '?'} may not decrypt the secret "
                    f"{_name(arn) or '?'}" + (f" with its KMS key {key}" if key else ""),
                    "certain",
                    (stop_evidence(stop), *((known,) if known else ())),
                    _decrypt_fix(incident, role, key),
                ),
                service.name,
                "Secrets Manager answered for KMS, so the role may read the secret itself",
            )


def _decrypt_fix(incident: Incident, role: str, key: str) -> tuple[str, ...]:
    if not role or not key.startswith("arn:"):
        return ()
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key}],
    }
    document = shlex.quote(json.dumps(policy, separators=(",", ":")))
    return (
        f"{incident.aws} iam put-role-policy --role-name {role} "
        f"--policy-name allow-kms-decrypt --policy-document {document}",
    )


@cause(
    "secret_deleted",
    layer="secret",
    symptoms="ECS says: You can't perform this operation on the secret because it was marked for "
    "deletion.",
    cure="Restore the secret: aws secretsmanager restore-secret",
    explains=_EXPLAINS,
)
def secret_deleted(incident: Incident) -> Iterator[Candidate]:
    """A secret of a task definition is scheduled for deletion; until then it can be restored."""
    for service, _ in troubled(incident):
        for arn in _arns(service):
            known = (incident.content("secrets") or {}).get(arn) or {}
            if known.get("DeletedDate"):
                yield Candidate(
                    Finding(
                        "secret_deleted",
                        f"{service.name}: the secret {_name(arn)} is scheduled for deletion",
                        "certain",
                        (
                            evidence(
                                f"DescribeSecret {_name(arn)}", "DeletedDate:", known["DeletedDate"]
                            ),
                        ),
                        (
                            f"{incident.aws} secretsmanager restore-secret --secret-id "
                            f"{known['ARN']}",
                        ),
                    ),
                    service.name,
                    "a secret that is marked for deletion cannot be read",
                )


def _container_secrets(service: ServiceFact) -> list[Any]:
    revision = definition(service)
    containers = revision.containers if revision else ()
    return [secret for each in containers for secret in each.get("secrets") or ()]


def _user(service: ServiceFact, key: str) -> tuple[str, str]:
    """The ARN and the variable that use a JSON key of a secret."""
    for each in _container_secrets(service):
        parts = each["valueFrom"].split(":")
        if ":secretsmanager:" in each["valueFrom"] and parts[7:8] == [key]:
            return ":".join(parts[:7]), each["name"]
    return "", ""


def _value_from(arn: str, variable: str, key: str) -> tuple[Evidence, ...]:
    if not arn:
        return ()
    return (evidence("DescribeTaskDefinition secrets", f"{variable}: {arn}:{key}::"),)


def _arns(service: ServiceFact) -> list[str]:
    found = [each["valueFrom"] for each in _container_secrets(service)]
    arns = [":".join(each.split(":")[:7]) for each in found if ":secretsmanager:" in each]
    return list(dict.fromkeys(arns))


def _arn(text: str) -> str:
    found = _ARN.search(text)
    return found[0] if found else ""


def _name(arn: str) -> str:
    """The name of a secret, without the six characters that AWS adds to its ARN."""
    return re.sub(r"-\w{6}$", "", arn.rpartition(":secret:")[2])


def _kms_key(incident: Incident, arn: str) -> str:
    """The ARN of the secret's KMS key; "" for AWS's own key, or if it is unknown."""
    found = str(((incident.content("secrets") or {}).get(arn) or {}).get("KmsKeyId") or "")
    if not found or found.startswith(("arn:", "alias/")):
        return found
    region, account = incident.subject["region"], incident.subject["account"]
    partition = arn.split(":")[1]  # the secret's own
    return f"arn:{partition}:kms:{region}:{account}:key/{found}"


def _role(service: ServiceFact) -> str:
    revision = definition(service)
    return str((revision.document.get("executionRoleArn") or "") if revision else "").rpartition(
        "/"
    )[2]
