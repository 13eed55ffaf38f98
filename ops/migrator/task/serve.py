"""Serve the requests of the operator's machine: read the database, and run one migration.

`open` connects; `query` runs a statement in that session; `adopt` records a revision; `migrate`
runs revisions, and its result is both a reply and a marked line of the log; `end` ends the task.
The password comes from the container's environment and appears in no message.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.migrator.model import Limits, MigrateError, RunIdentity, TargetDatabase
from ops.migrator.remote import execute
from ops.migrator.remote.messages import RunEnd, StartRequest
from ops.migrator.task.loader import MARK, TaskChannel
from ops.migrator.task.variables import libpq_parameters

EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 130}
_REVISIONS = "alembic"  # in the code bundle


def serve(channel: TaskChannel, folder: str, idle_s: float) -> int:
    """Answer until `end`, a migration, or a silence of `idle_s`; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):  # independent of the image's locale
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    return _Server(channel, Path(folder)).run(idle_s)


class _Server:
    def __init__(self, channel: TaskChannel, folder: Path) -> None:
        self.channel, self.folder, self.number = channel, folder, 1
        self.target = TargetDatabase("", {})
        self.session: Any = None

    def run(self, idle_s: float) -> int:
        self._reply({"ready": True})
        answers: dict[str, Callable[[Any], dict[str, Any]]] = {
            "open": self._open,
            "query": self._query,
            "adopt": self._adopt,
            "end": lambda _request: {},
        }
        while request := self.channel.wait(self.number, idle_s):
            verb = request["verb"]
            if verb == "migrate":
                return self._migrate(request["run"])
            self._reply(answers[verb](request))
            if verb == "end":
                return 0
        print("no request came from the operator's machine: the task ends", flush=True)
        return 0

    def _reply(self, document: dict[str, Any]) -> None:
        self.channel.reply(self.number, document)
        self.number += 1

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Connect. The reply has the server's version, and the parameters but the password."""
        from ops.migrator import connections

        try:
            self.target = self._target(request)
            limits = Limits(statement_timeout_s=request["statement_timeout_s"])
            self.session = connections.connect(self.target, "inv db (reading)", limits)
            self.session.execute(connections.UNFILTERED)
        except MigrateError as error:
            return self._error(error)
        known = self.target.parameters
        shared = {name: known.get(name) for name in ("host", "port", "dbname", "user")}
        return {"parameters": shared, "server_version": self.session.info.server_version}

    def _target(self, request: dict[str, Any]) -> TargetDatabase:
        import ops

        code = Path(ops.__file__).parents[1]
        parameters = libpq_parameters(request["parameters"], request["variables"], self.folder)
        target = TargetDatabase(str(code / _REVISIONS), parameters)
        return execute.with_redaction(target, request["redact"])

    def _error(self, error: MigrateError) -> dict[str, Any]:
        texts = (error.kind, error.what, error.why, error.next)
        names = ("kind", "what", "why", "next")
        return {"error": dict(zip(names, map(self.target.clean, texts), strict=True))}

    def _adopt(self, request: dict[str, Any]) -> dict[str, Any]:
        """Record a revision, if the schema has the digest."""
        from ops.migrator.adopt import adopt

        lines: list[str] = []
        who, limits = RunIdentity(**request["who"]), Limits(**request["limits"])
        try:
            revision, digest = request["revision"], request["digest"]
            outcome = adopt(self.target, revision, digest, who, limits, say=lines.append)
        except MigrateError as error:
            return {**self._error(error), "lines": lines}
        return {"outcome": dataclasses.asdict(outcome), "lines": lines}

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one statement. Values are PostgreSQL's texts with their types' OIDs."""
        import psycopg

        try:
            cursor = self.session.execute(request["sql"], request["parameters"])
        except psycopg.Error as error:
            text = self.target.clean(error)
            return {"failed": {"sqlstate": error.sqlstate, "message": text}}
        found = cursor.pgresult
        if found is None or not found.nfields:
            return {"columns": [], "rows": []}
        wide = range(found.nfields)
        values = (found.get_value(row, column) for row in range(found.ntuples) for column in wide)
        texts = [None if value is None else value.decode() for value in values]
        return {
            "columns": [(found.fname(each).decode(), found.ftype(each)) for each in wide],
            "rows": [texts[at : at + len(wide)] for at in range(0, len(texts), len(wide))],
        }

    def _migrate(self, run: StartRequest) -> int:
        """Run the revisions; SIGTERM (StopTask) rolls the current one back."""
        name = run["who"]["run"]
        print(MARK + json.dumps({"run": name, "began_at": execute.now()}), flush=True)
        self._reply({"started": name})
        self.session.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, execute.interrupt_once)
        end = execute.run_migration(run, self.target, lambda end: self._report(name, end))
        self._report(name, end)
        return EXIT_CODES.get(end["state"], 1)

    def _report(self, run: str, end: RunEnd) -> None:
        print(MARK + json.dumps({"run": run, "end": end}), flush=True)
        self.channel.reply(self.number, {"end": end})
