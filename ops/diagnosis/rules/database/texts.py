"""PostgreSQL's and its clients' texts of a failed connection, and what they mean.

The texts of libpq (psycopg, Ruby, PHP), node-postgres, JDBC, and of the server itself.
"""

from __future__ import annotations

import re
from typing import Literal

Problem = Literal[
    "password",
    "tls_required",
    "no_entry",
    "tls_refused",
    "certificate",
    "exhausted",
    "starting",
    "read_only",
    "silent",
]
_NEAR_DATABASE = re.compile(r"postgres|psycopg|libpq|\bpg\b|database|\bdb\b|5432|sql|\.rds\.", re.I)
_TEXTS: tuple[tuple[Problem, str], ...] = (
    ("password", r"password authentication failed|\b28P01\b"),
    ("tls_required", r"no pg_hba\.conf entry.*(no encryption|SSL off)"),
    ("no_entry", r"no pg_hba\.conf entry|pg_hba\.conf rejects"),
    ("tls_refused", r"server does not support SSL|The server does not support SSL connections"),
    (
        "exhausted",
        r"too many clients already|remaining connection slots are reserved"
        r"|too many connections for (role|database)|code\W{1,4}53300",
    ),
    (
        "starting",
        r"the database system is (starting up|shutting down|in recovery mode"
        r"|not yet accepting connections)|\b57P03\b|terminating connection due to "
        r"administrator command",
    ),
    ("read_only", r"cannot execute \w+( \w+)? in a read-only transaction|code\W{1,4}25006"),
)
_NEAR_TEXTS: tuple[tuple[Problem, str], ...] = (
    (
        "certificate",
        r"self.signed certificate|SELF_SIGNED_CERT_IN_CHAIN|certificate verify failed"
        r"|unable to (verify the first|get local issuer) certificate"
        r"|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|PKIX path building failed"
        r"|certificate has expired|root certificate file .* does not exist",
    ),
    (
        "silent",
        r"timeout expired|connection timed out|ETIMEDOUT|connection timeout|connect timed out"
        r"|connection attempt timed out",
    ),
)  # texts that other connections have too: only believed next to a word of the database
LOG_PATTERN = " ".join(
    f'?"{term}"'
    for term in (
        *("pg_hba", "password authentication", "SSL", "certificate", "SELF_SIGNED", "PKIX"),
        *("too many c", "connection slots", "database system is", "read-only transaction"),
        *("administrator command", "timeout", "timed out", "ETIMEDOUT", "28P01", "53300"),
    )
)  # for FilterLogEvents: any of these terms; `problem_of` decides


def problem_of(text: str) -> Problem | None:
    """The problem that a log line or an error reports; None for any other text."""
    for problem, pattern in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return problem
    if _NEAR_DATABASE.search(text):
        return next(
            (name for name, each in _NEAR_TEXTS if re.search(each, text, re.IGNORECASE)), None
        )
    return None
