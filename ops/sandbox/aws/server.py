"""The sandbox's AWS endpoint: moto's server in this process, with some answers replaced.

Emulates the AWS APIs that a deploy of ECS services uses; each service's own module documents what
its emulation omits (ecs_services, ecs_tasks, ecs_history, task_definitions, ecr, targets, elb,
cloudfront, middleware). A call is answered if one of the sandbox's own keys signed it (signature)
and it addressed this machine by its own name (loopback). Differs from AWS: every signed call is
allowed, state is in memory and is lost when the process ends, everything belongs to one account and
region, and there is neither CORS nor moto's own API (`/moto-api`) nor an instance metadata service.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from ops.sandbox.aws import cloudfront, elb, rds, security_groups
from ops.sandbox.aws.access import roles
from ops.sandbox.aws.autoscaling import Scaling
from ops.sandbox.aws.cloudtrail import Trail
from ops.sandbox.aws.ecr import Ecr
from ops.sandbox.aws.ecs import task_definitions
from ops.sandbox.aws.ecs.history import History
from ops.sandbox.aws.ecs.services import Services
from ops.sandbox.aws.ecs.store import EcsStore
from ops.sandbox.aws.ecs.tasks import Tasks
from ops.sandbox.aws.middleware import Gate
from ops.sandbox.aws.sessions import Sessions
from ops.sandbox.aws.signature import Signed
from ops.sandbox.aws.targets import TargetTable
from ops.sandbox.contracts import (
    Component,
    EcrBackend,
    LoadBalancerBackend,
    Ports,
    TargetState,
    Timing,
)
from ops.sandbox.keys import Keys
from ops.sandbox.loopback import LocalOnly


class _QuietHandler(MotoRequestHandler):
    """Keeps requests out of the supervisor's log."""

    protocol_version = "HTTP/1.1"

    def log(self, *args: Any) -> None:
        """Log nothing; one line per call would hide everything else."""

    def send_header(self, keyword: str, value: str) -> None:
        """Send a header; a `Date` of the answer replaces that of this machine's clock."""
        if keyword == "Date":
            buffer: list[bytes] = getattr(self, "_headers_buffer", [])
            buffer[:] = [line for line in buffer if not line.startswith(b"Date:")]
        super().send_header(keyword, value)


@dataclass
class LoadBalancer:
    """The edge's view of the AWS side (`LoadBalancerBackend`)."""

    table: TargetTable
    timing: Timing
    ecs: EcsStore

    def route(self, path: str) -> str | None:
        return elb.route(path)

    def targets(self, target_group: str) -> tuple[TargetState, ...]:
        known = self.table.states(target_group)
        return tuple(
            replace(each, reachable=security_groups.reachable(self.ecs, each.address, each.port))
            for each in known
        )

    def cached(self, path: str) -> bool:
        return cloudfront.cached(path)

    def invalidations(self) -> tuple[tuple[str, float], ...]:
        return cloudfront.invalidations(self.timing)


@dataclass
class Cloud:
    """The state shared by API, agent, registry and edge.

    One per process, since moto's state is global.
    """

    ports: Ports
    timing: Timing
    ecs: EcsStore = field(default_factory=EcsStore)
    targets: TargetTable = field(default_factory=TargetTable)
    trail: Trail = field(default_factory=Trail)
    placement_refusal: str = ""  # why Fargate places no task, in its own words
    # seconds that a fault of the edge adds to a path
    delay: Callable[[str], float] = lambda path: 0.0

    def __post_init__(self) -> None:
        ecr = Ecr(self.ports.registry)
        self.ecr: EcrBackend = ecr
        self.load_balancer: LoadBalancerBackend = LoadBalancer(self.targets, self.timing, self.ecs)
        # moto's state outlives a server in the same process; a new sandbox starts empty
        BackendDict.reset()
        task_definitions.install()
        Services(self.ecs, self.trail).install()
        self.trail.install()
        Tasks(self.ecs).install()
        History(self.ecs).install()
        self.sessions = Sessions(self.ecs)
        self.sessions.install()
        self.scaling = Scaling()
        self.scaling.install()
        elb.ElbAnswers(self.targets, self.timing).install()
        cloudfront.install(self.timing)
        rds.install(self.timing)
        ecr.install()
        roles.install()


_NOT_OURS = ("/moto-api", "/latest/", "/favicon.ico")  # what moto answers beside the APIs of AWS


class Aws:
    """The running endpoint.

    `cloud` is the shared state, `gate` controls latency, throttling and denials, `keys` sign its
    calls.
    """

    def __init__(self, ports: Ports, timing: Timing) -> None:
        self.cloud = Cloud(ports, timing)
        self.keys = Keys()
        self.gate = Gate(DomainDispatcherApplication(create_backend_app))
        self.signed = Signed(self.gate, self.keys)
        application = LocalOnly(self.signed, _NOT_OURS)
        with socket.create_server(
            ("127.0.0.1", ports.aws)
        ) as listening:  # werkzeug itself would exit on a taken port
            self._server = make_server(
                "127.0.0.1",
                listening.getsockname()[1],
                application,
                threaded=True,
                request_handler=_QuietHandler,
                fd=listening.fileno(),
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="aws",
            daemon=True,
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close the port. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=5)
        self._server.server_close()

    def part(self) -> Component:
        return Component("aws", self.stop, self.alive)


def serve(ports: Ports, timing: Timing) -> Aws:
    """Start the AWS endpoint on 127.0.0.1:`ports.aws`. Raises OSError if the port is taken."""
    return Aws(ports, timing)
