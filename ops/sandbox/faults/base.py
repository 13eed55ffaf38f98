"""The types of a fault: its catalog entry, and the injector that causes and removes it.

Nothing heavy is imported here: `inv sandbox.faults` reads the catalog without a sandbox.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.sandbox.aws import Aws
    from ops.sandbox.contracts import Paths, Ports, Timing
    from ops.sandbox.database import Server
    from ops.sandbox.edge.cdn import Cdn
    from ops.sandbox.edge.certificates import Certificates
    from ops.sandbox.edge.fault_injection import EdgeFaults
    from ops.sandbox.seed import Clients

FaultState = dict[str, Any]  # what removal needs; stored in faults.json


@dataclass(frozen=True)
class SandboxHandles:
    """The components of a running sandbox that faults act on.

    `clients` use the sandbox's own key. `stop_events` end the threads of faults; `open_resources`
    holds their open connections.
    """

    paths: Paths
    ports: Ports
    timing: Timing
    aws: Aws
    clients: Clients
    edge_faults: EdgeFaults
    certificates: Certificates
    cdn: Cdn
    database: Server
    stop_events: dict[str, threading.Event] = field(default_factory=dict)
    open_resources: dict[str, list[Any]] = field(default_factory=dict)


class FaultInjector(ABC):
    """Injects and removes one fault.

    `prepare`, `is_visible`, `is_present` and `is_healthy` change nothing. `inject` and `remove`
    return at once; ActiveFaults then polls `is_visible` or `is_healthy`.
    """

    def prepare(self, handles: SandboxHandles) -> FaultState:
        """Return the state needed for removal, recorded before the fault is injected.

        Raises Refused if the sandbox does not allow the fault now.
        """
        return {}

    @abstractmethod
    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        """Cause the fault and return any further state needed for removal."""

    @abstractmethod
    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether a user of the platform can observe the fault."""

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether the cause still exists; an operator may have removed it by other means."""
        return True

    @abstractmethod
    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        """Remove the fault; do nothing if that has already happened."""

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether the sandbox is as it was before the fault."""
        return not self.is_visible(handles, state)

    def remove_leftovers(self, database: Server, state: FaultState) -> None:  # noqa: B027 - most leave nothing behind
        """Remove what outlives the supervisor, which is PostgreSQL's data only.

        Everything else is created again at each `up`.
        """


@dataclass(frozen=True)
class Fault:
    """A catalog entry.

    `cause` is the finding that the fault must lead to. `emulated`: the sandbox only reproduces
    AWS's messages. Only one active fault may use an `exclusive_resource`. `affects` names what is
    unhealthy while the fault is active.
    """

    name: str
    runbook: str
    cause: str
    says: str
    injector: FaultInjector
    exclusive_resource: str = ""
    affects: str = ""
    emulated: bool = False
    survives_restart: bool = False  # on disk, so it outlives the supervisor
    diagnosis: str = ""  # the cause that `troubleshoot.all` finds, if it is deeper than `cause`

    def as_row(self, active: bool) -> dict[str, Any]:
        """Return a row of `sandbox.faults --json`."""
        return {
            "name": self.name,
            "runbook": self.runbook,
            "cause": self.cause,
            "active": active,
            "emulated": self.emulated,
            "description": self.says,
        }
