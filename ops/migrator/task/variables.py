"""libpq's parameters from the environment variables of a task's container."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.migrator.model import MigrateError

_NAMES = {"user": "user", "host": "host", "port": "port", "name": "dbname"}
_SECRET_KEYS = {
    "username": "user",
    "password": "password",
    "host": "host",
    "port": "port",
    "dbname": "dbname",
}
_ADDRESS = "PGHOSTADDR"
_CA_BUNDLE = "authority.pem"  # the CA bundle of the operator's machine, sent by its content


def libpq_parameters(
    given: Mapping[str, Any],
    variables: Mapping[str, str],
    folder: Path,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """The parameters: those of a URL, of a whole secret, of single variables, and `given` ones.

    The later ones win. PGHOSTADDR counts too, for a network whose DNS does not know the host.
    Raises MigrateError for a variable that is missing or can't be read.
    """
    found: dict[str, Any] = {}
    if environment.get(_ADDRESS):
        found["hostaddr"] = environment[_ADDRESS]
    for kind, name in variables.items():
        if not environment.get(name):
            raise MigrateError(
                "config",
                f"the container's environment has no {name}",
                f"database.task.variables.{kind} names it",
                "correct it, or add the variable to the task definition's secrets",
            )
    if "url" in variables:
        found |= _from_url(variables["url"], environment)
    if "secret" in variables:
        found |= _from_secret(variables["secret"], environment)
    single = {**_NAMES, "password": "password"}
    found |= {single[kind]: environment[name] for kind, name in variables.items() if kind in single}
    found |= {name: value for name, value in given.items() if name != "authority"}
    if given.get("authority"):
        file = folder / _CA_BUNDLE
        file.write_text(given["authority"], encoding="utf-8")
        found["sslrootcert"] = str(file)
    for name in ("host", "dbname", "user"):
        if not found.get(name):
            key = {"dbname": "name"}.get(name, name)
            raise MigrateError(
                "config",
                f"the database's {key} is not known in the task",
                f"the container's variables ({', '.join(variables.values())}) do not have it",
                f"set database.task.variables.{key} in invoke.yaml",
            )
    return found


def _from_url(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        return dict(conninfo_to_dict(environment[name]))
    except psycopg.Error:  # whose text may have the password
        raise MigrateError(
            "config",
            f"the container's variable {name}",
            "it is not a postgresql:// URL",
            "correct database.task.variables.url in invoke.yaml",
        ) from None


def _from_secret(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(environment[name])
        values = {libpq: found[key] for key, libpq in _SECRET_KEYS.items() if found.get(key)}
    except (ValueError, AttributeError, TypeError):
        raise MigrateError(
            "config",
            f"the container's variable {name}",
            "it is not a secret as JSON, such as RDS's",
            "correct database.task.variables.secret in invoke.yaml",
        ) from None
    return values
