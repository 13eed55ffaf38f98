"""Secrets Manager and Parameter Store, without exposing values.

Names may appear anywhere; values only in a `Secret`, which does not print them. Every value read
here is added to `ops.core.redaction.redact.known`, so that no output and no record contains it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ops.aws.session import AwsSession
from ops.core.errors import ConfigError, OpsError, Refused
from ops.core.redaction.redact import known


class Secret(Mapping[str, str]):
    """Values of a JSON secret, by key. `repr` and `str` contain the names only."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
            if value is not None  # null: as if the key were missing
        }

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secret({', '.join(self._values)})"


def keys(cloud: AwsSession, secret_id: str) -> frozenset[str] | None:
    """Names of the keys of a JSON secret (secretsmanager:GetSecretValue).

    Empty for a secret that is not a JSON object; None if the secret does not exist.
    """
    found = text(cloud, secret_id)
    if found is None:
        return None
    return frozenset(_parse_object(found) or ())


def value(cloud: AwsSession, secret_id: str) -> Mapping[str, str]:
    """Values of a JSON secret.

    Raises Refused if the secret does not exist, ConfigError if it is not a JSON object.
    """
    found = text(cloud, secret_id)
    if found is None:
        raise Refused(
            f"secret {secret_id} does not exist in {cloud.region}",
            "Secrets Manager has no value for it",
            "correct database.secret in invoke.yaml; see: aws secretsmanager list-secrets",
        )
    values = _parse_object(found)
    if values is None:
        raise ConfigError(
            f"secret {secret_id}",
            "it is not a JSON object of keys and values",
            "name a secret with username and password under database.secret in invoke.yaml",
        )
    return Secret(values)


def parameter_exists(cloud: AwsSession, name: str) -> bool:
    """Whether Parameter Store has a parameter (ssm:GetParameters).

    A missing parameter is not an error there: it is listed under InvalidParameters. The value is
    read only to hide it in output; without permission to decrypt it, existence is enough.
    """
    try:
        return _parameter(cloud, name, decrypt=True)
    except OpsError:
        return _parameter(cloud, name, decrypt=False)


def _parameter(cloud: AwsSession, name: str, *, decrypt: bool) -> bool:
    with cloud.translated(f"parameter {name} (ssm:GetParameters)"):
        answer = (
            cloud.for_arn(name).client("ssm").get_parameters(Names=[name], WithDecryption=decrypt)
        )
        found = [
            (each["Name"], str(each.get("Value") or ""), each.get("Type"))
            for each in answer["Parameters"]
        ]
        exists = bool(found) or not answer["InvalidParameters"]
    for called, text, kind in found:
        if kind == "SecureString":
            known.add_secret(text)
        else:
            known.add_variables({called.rpartition("/")[2]: text})
    return exists


def text(cloud: AwsSession, secret_id: str) -> str | None:
    """The current text of a secret, "" for a binary one; None if the secret does not exist."""
    cloud = cloud.for_arn(secret_id)
    client = cloud.client("secretsmanager")
    with cloud.translated(f"secret {secret_id} (secretsmanager:GetSecretValue)"):
        try:
            answer = client.get_secret_value(SecretId=secret_id)
        except client.exceptions.ResourceNotFoundException:
            return None
        found = "" if answer.get("SecretBinary") else str(answer["SecretString"])
    known.add_secret(found)
    return found


def _parse_object(found: str) -> dict[str, Any] | None:
    try:
        values = json.loads(found)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
