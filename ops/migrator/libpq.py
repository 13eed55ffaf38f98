"""Connect with the configured parameters only.

libpq takes every parameter that it is not given from PG* variables, service files and ~/.pgpass;
PGHOSTADDR even replaces the address of a given host. Where the user is configured (with a secret,
always), none of them counts: each parameter is passed explicitly, and the variables are hidden
while the connection is made. Without a configured user libpq looks in its usual places.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq

_VARIABLE = re.compile(r"PG[A-Z]+")  # libpq's own: PGHOSTADDR, but not Terraform's PG_CONN_STR
_NO_PASSFILE = f"{os.devnull}/passfile"  # can't exist; empty would mean ~/.pgpass
# Without a built-in default; an empty value means "not set", and the environment is not asked.
_UNSET = ("hostaddr", "client_encoding", "sslcert", "sslkey", "sslcrl", "sslcrldir", "requirepeer")
CONNECT_TIMEOUT = 5  # seconds
_lock = threading.Lock()
_connecting = 0


def connect(parameters: Mapping[str, Any], *, autocommit: bool = False) -> psycopg.Connection[Any]:
    """Connect. Raises psycopg.Error."""
    if not configured(parameters):
        return psycopg.connect(autocommit=autocommit, **parameters)
    with _variables_hidden():
        return psycopg.connect(autocommit=autocommit, **complete(parameters))


def configured(parameters: Mapping[str, Any]) -> bool:
    """Whether `parameters` say who connects, so that nothing is taken from the environment."""
    return bool(parameters.get("user"))


def complete(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`parameters` and, for everything else that a variable could set, libpq's built-in default."""
    options = [option for option in pq.Conninfo.get_defaults() if option.envvar]
    built_in = {
        option.keyword.decode(): option.compiled.decode()
        for option in options
        if option.compiled is not None
    }
    unset = {option.keyword.decode(): "" for option in options if option.keyword.decode() in _UNSET}
    return {
        **built_in,
        **unset,
        "passfile": _NO_PASSFILE,
        "connect_timeout": CONNECT_TIMEOUT,
        **parameters,
    }


def variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """libpq's variables in an environment, sorted."""
    return tuple(sorted(name for name in environment if _VARIABLE.fullmatch(name)))


@contextmanager
def _variables_hidden() -> Iterator[None]:
    """Hide libpq's variables from libpq, but not from `os.environ`.

    Children that other threads start meanwhile get their environment from that.
    """
    global _connecting
    with _lock:
        _connecting += 1
        for name in variables(os.environ):
            os.unsetenv(name)
    try:
        yield
    finally:
        with _lock:
            _connecting -= 1
            if not _connecting:
                for name in variables(os.environ):
                    os.putenv(name, os.environ[name])
