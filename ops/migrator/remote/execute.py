"""Run the migration of a request, and return its result as a document.

Used by the runner on a bastion (`cli`) and in an ECS task (`ops.migrator.task`).
"""

from __future__ import annotations

import dataclasses
import importlib
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

from ops.migrator.model import MigrateError, TargetDatabase
from ops.migrator.remote.messages import Outcome, RunEnd, StartRequest


class _RunCancelled(KeyboardInterrupt):
    """Raised by `cancel` or a signal.

    A subclass, because `raise KeyboardInterrupt` in a revision is a failure of that revision.
    """


def interrupt_once(number: int, _frame: object) -> NoReturn:
    """Raise on the first signal only, so that the rollback and the result are not interrupted."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise _RunCancelled(f"asked to stop by {signal.Signals(number).name}")


def run_migration(
    request: StartRequest, target: TargetDatabase, report_end: Callable[[RunEnd], None]
) -> RunEnd:
    """Run the migration and return its result; it never raises.

    `report_end` gets the result if this process is ended by force.
    """

    def report_forced_end(_what: str, why: str, _how: str) -> None:
        """Write the result from the thread that ends this process."""
        report_end({"state": "cancelled", "forced": target.clean(why), "ended_at": now()})

    ended: RunEnd
    try:
        from ops.migrator.model import Limits, RunIdentity
        from ops.migrator.revisions import interrupts
        from ops.migrator.runner import migrate

        interrupts.set_report(report_forced_end)

        target = with_redaction(target, request.get("redact"))
        outcome = migrate(
            target,
            request["direction"],
            request["to"],
            RunIdentity(**request["who"]),
            Limits(**request["limits"]),
            say=lambda line: print(line, flush=True),
            accept_edit=request.get("accepted"),
            expected_heads=tuple(request["shown"]),
        )
        ended = {"state": "succeeded", "outcome": cast("Outcome", dataclasses.asdict(outcome))}
    except MigrateError as error:
        ended = {
            "state": "failed",
            "error": {
                "kind": target.clean(error.kind),
                "what": target.clean(error.what),
                "why": target.clean(error.why),
                "next": target.clean(error.next),
            },
        }
    except KeyboardInterrupt:
        ended = {"state": "cancelled"}
    except BaseException as error:  # the end must be known, whatever it was
        what = f"the runner failed: {type(error).__name__}"
        ended = {
            "state": "failed",
            "error": {
                "kind": "failed",
                "what": what,
                "why": target.clean(error),
                "next": "inv db.current",
            },
        }
    return {**ended, "ended_at": now()}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def with_redaction(target: TargetDatabase, function: str | None) -> TargetDatabase:
    """The target with the redaction `module:function`, of a module shipped with the engine."""
    if not function:
        return target
    module, _, name = function.partition(":")
    redact: Any = getattr(importlib.import_module(module), name)
    return dataclasses.replace(target, redact=redact)
