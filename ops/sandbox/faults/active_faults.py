"""The active faults: inject and remove them, one at a time, and record them in faults.json.

A fault is recorded before it is injected, and the caller waits until it is visible. Faults that an
operator removed by other means (an invalidation, `inv db.start`) are detected and dropped.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.errors import OpsError, Refused
from ops.sandbox.faults.base import Fault, FaultState, SandboxHandles
from ops.sandbox.faults.catalog import FAULTS, find

if TYPE_CHECKING:
    from ops.sandbox.contracts import Paths
    from ops.sandbox.database import Server

_PATIENCE = 90.0  # seconds until a fault must be visible, or the sandbox healthy
_HIDDEN = 3.0  # the same where another fault may hide it
_LOOK = 0.15


@dataclass(frozen=True)
class FaultChange:
    """The result of one request: the fault, whether anything changed, and a message."""

    fault: Fault
    active: bool
    changed: bool
    says: str
    took_s: float = 0.0

    def as_document(self) -> dict[str, Any]:
        return {
            **self.fault.as_row(self.active),
            "changed": self.changed,
            "says": self.says,
            "took_s": round(self.took_s, 3),
        }


@dataclass
class ActiveFaults:
    """The active faults of a running sandbox, by name; `states` is the content of faults.json."""

    handles: SandboxHandles
    states: dict[str, FaultState] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def rows(self) -> list[dict[str, Any]]:
        """Return every fault of the catalog, as `sandbox.faults --json` lists it."""
        with self._lock:
            self._forget_mended()
            return [fault.as_row(fault.name in self.states) for fault in FAULTS]

    def break_(self, name: str) -> FaultChange:
        """Inject the fault and wait until it is visible. Raises ConfigError, Refused, OpsError."""
        fault, began = find(name), time.monotonic()
        with self._lock:
            self._forget_mended()
            if name in self.states:
                return FaultChange(fault, True, False, f"{name} is already active: {fault.says}")
            self._refuse_second(fault)
            self._note(fault, fault.injector.prepare(self.handles))
            try:
                self._note(fault, fault.injector.inject(self.handles, self.states[name]))
            except BaseException:
                self._forget_mended()
                raise
            seen = self._await(
                fault, lambda: fault.injector.is_visible(self.handles, self.states[name])
            )
            if not seen and not self._others(fault):
                raise OpsError(
                    f"fault {name} was injected but has no visible effect",
                    f"not within {_PATIENCE:.0f} s",
                    f"inv sandbox.mend {name}",
                )
            took = time.monotonic() - began
            hidden = "" if seen else f" (hidden by {', '.join(self._others(fault))})"
            return FaultChange(fault, True, True, f"broken: {name}: {fault.says}{hidden}", took)

    def mend(self, name: str) -> FaultChange:
        """Remove the fault and wait until the sandbox is healthy. Raises ConfigError, OpsError."""
        fault, began = find(name), time.monotonic()
        with self._lock:
            self._forget_mended()
            if name not in self.states:
                return FaultChange(fault, False, False, f"{name} is not active")
            return self._mended(fault, self._end(fault), began)

    def mend_all(self) -> list[FaultChange]:
        """Remove every active fault, newest first, then wait for all of them. Raises OpsError."""
        began = time.monotonic()
        with self._lock:
            self._forget_mended()
            removed = [
                (fault, self._end(fault)) for fault in map(find, reversed(list(self.states)))
            ]
            return [self._mended(fault, state, began) for fault, state in removed]

    def _end(self, fault: Fault) -> FaultState:
        """Remove the fault and return its recorded state."""
        state = self.states[fault.name]
        fault.injector.remove(self.handles, state)
        self._drop(fault.name)
        return state

    def _mended(self, fault: Fault, state: FaultState, began: float) -> FaultChange:
        is_healthy = self._await(fault, lambda: fault.injector.is_healthy(self.handles, state))
        if not is_healthy and not self._others(fault):
            what = f"fault {fault.name} is removed, but the sandbox is still unhealthy"
            raise OpsError(
                what, f"not within {_PATIENCE:.0f} s", "inv sandbox.down, then inv sandbox.up"
            )
        left = "" if is_healthy else f"; {', '.join(self._others(fault))} is still active"
        return FaultChange(
            fault, False, True, f"mended: {fault.name}{left}", time.monotonic() - began
        )

    def _refuse_second(self, fault: Fault) -> None:
        rival = next(
            (
                each
                for each in self.states
                if fault.exclusive_resource
                and find(each).exclusive_resource == fault.exclusive_resource
            ),
            None,
        )
        if rival:
            raise Refused(
                f"fault {fault.name}",
                f"{rival} is active and also changes {fault.exclusive_resource}",
                f"inv sandbox.mend {rival}",
            )

    def _others(self, fault: Fault) -> list[str]:
        """Return the active faults that affect the same thing and may hide this one."""
        return [
            name
            for name in self.states
            if name != fault.name and fault.affects and find(name).affects == fault.affects
        ]

    def _await(self, fault: Fault, condition: Callable[[], bool]) -> bool:
        ends = time.monotonic() + (_HIDDEN if self._others(fault) else _PATIENCE)
        while not condition():
            if time.monotonic() > ends:
                return False
            time.sleep(_LOOK)
        return True

    def _forget_mended(self) -> None:
        for name in list(self.states):
            fault = find(name)
            if not fault.injector.is_present(self.handles, self.states[name]):
                self._end(fault)

    def _note(self, fault: Fault, more: FaultState) -> None:
        known = self.states.get(fault.name) or {
            "since": datetime.now(UTC).isoformat(timespec="seconds")
        }
        self.states[fault.name] = {**known, **more}
        _write(self.handles.paths, self.states)

    def _drop(self, name: str) -> None:
        del self.states[name]
        _write(self.handles.paths, self.states)


def _write(paths: Paths, state: dict[str, FaultState]) -> None:
    from ops.postgres.server.cluster import write_private

    write_private(paths.faults, json.dumps(state, indent=2) + "\n")


def read(paths: Paths) -> dict[str, FaultState]:
    """Return the content of faults.json, or an empty dict if it can't be read.

    Names that this version does not know are ignored.
    """
    known = {fault.name for fault in FAULTS}
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return {
            str(name): dict(state)
            for name, state in json.loads(Path(paths.faults).read_text()).items()
            if name in known
        }
    return {}


def remove_leftovers(paths: Paths, database: Server) -> Iterator[str]:
    """Remove what a previous supervisor's faults left on disk; yield their names.

    In a newly started sandbox no fault is active.
    """
    for name, state in read(paths).items():
        find(name).injector.remove_leftovers(database, state)
        yield name
    paths.faults.unlink(missing_ok=True)
