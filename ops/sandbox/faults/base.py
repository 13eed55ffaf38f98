"""What a fault is: a line of the table, and the work that does it to the sandbox's world and takes
it back.

Nothing heavy is imported here: `inv sandbox.faults` reads the table without a sandbox.
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

FaultState = dict[str, Any]  # what is needed to mend; goes into faults.json


@dataclass(frozen=True)
class SandboxHandles:
    """The parts of a running sandbox that faults act on. `clients` speak with the sandbox's own
    key.

    `ended`: what ends a fault's threads; `held`: what it holds open.
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
    """One fault's doing. `prepare` and looks change nothing; `begin` and `end` return at once, the
    board waits for `seen` and `well`.
    """

    def prepare(self, handles: SandboxHandles) -> FaultState:
        """What must be known to mend, noted before anything is done. Raises Refused where the world
        does not allow the fault.
        """
        return {}

    @abstractmethod
    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        """Break; what else must be known to mend."""

    @abstractmethod
    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether it is in effect, as whoever uses the world sees it."""

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether its cause still stands: an operator may have mended it by other means."""
        return True

    @abstractmethod
    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        """Take it back; nothing where that has happened."""

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether the world is as it was."""
        return not self.is_visible(handles, state)

    def remove_leftovers(self, database: Server, state: FaultState) -> None:  # noqa: B027 - most leave nothing there
        """Take back what outlives the supervisor: PostgreSQL's data. All else is made anew at each
        `up`.
        """


@dataclass(frozen=True)
class Fault:
    """One line of the table. `cause`: the finding that it must lead to. `emulated`: the sandbox can
    only write what AWS would.

    `touches`: of the active faults only one may touch a thing. `spoils`: what is not well while it
    stands."""

    name: str
    runbook: str
    cause: str
    says: str
    injector: FaultInjector
    exclusive_resource: str = ""
    affects: str = ""
    emulated: bool = False
    survives_restart: bool = False  # lies on the disk, so it outlives the supervisor

    def as_row(self, active: bool) -> dict[str, Any]:
        """A row of `sandbox.faults --json`."""
        return {
            "name": self.name,
            "runbook": self.runbook,
            "cause": self.cause,
            "active": active,
            "emulated": self.emulated,
            "description": self.says,
        }
