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
    from ops.sandbox.edge.fault_injection import Weather
    from ops.sandbox.seed import Clients

Kept = dict[str, Any]  # what is needed to mend; goes into faults.json


@dataclass(frozen=True)
class Ground:
    """The parts of a running sandbox that faults act on. `clients` speak with the sandbox's own
    key.

    `ended`: what ends a fault's threads; `held`: what it holds open.
    """

    paths: Paths
    ports: Ports
    timing: Timing
    aws: Aws
    clients: Clients
    weather: Weather
    certificates: Certificates
    cdn: Cdn
    database: Server
    ended: dict[str, threading.Event] = field(default_factory=dict)
    held: dict[str, list[Any]] = field(default_factory=dict)


class Work(ABC):
    """One fault's doing. `prepare` and looks change nothing; `begin` and `end` return at once, the
    board waits for `seen` and `well`.
    """

    def prepare(self, ground: Ground) -> Kept:
        """What must be known to mend, noted before anything is done. Raises Refused where the world
        does not allow the fault.
        """
        return {}

    @abstractmethod
    def begin(self, ground: Ground, kept: Kept) -> Kept:
        """Break; what else must be known to mend."""

    @abstractmethod
    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        """Whether it is in effect, as whoever uses the world sees it."""

    def there(self, ground: Ground, kept: Kept) -> bool:
        """Whether its cause still stands: an operator may have mended it by other means."""
        return True

    @abstractmethod
    def end(self, ground: Ground, kept: Kept) -> None:
        """Take it back; nothing where that has happened."""

    def well(self, ground: Ground, kept: Kept) -> bool:
        """Whether the world is as it was."""
        return not self.is_visible(ground, kept)

    def heal(self, database: Server, kept: Kept) -> None:  # noqa: B027 - most leave nothing there
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
    work: Work
    touches: str = ""
    spoils: str = ""
    emulated: bool = False
    lasts: bool = False  # lies on the disk, so it outlives the supervisor

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
