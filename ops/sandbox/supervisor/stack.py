"""The components of one sandbox and their start, in parallel where possible."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError, Refused
from ops.sandbox import seed
from ops.sandbox.agent import Agent
from ops.sandbox.aws import Aws, cloudfront, elb, serve
from ops.sandbox.bastion import Bastion
from ops.sandbox.contracts import DATABASE_HOST, Component, EdgeConfiguration, Paths, Ports, Timing
from ops.sandbox.database import Login, Server
from ops.sandbox.edge import Edge, start_edge
from ops.sandbox.edge.certificates import Certificates
from ops.sandbox.edge.fault_injection import EdgeFaults
from ops.sandbox.faults.base import SandboxHandles
from ops.sandbox.registry.server import serve_registry
from ops.sandbox.registry.upstream import NoRegistryError, Upstream
from ops.sandbox.sample import Commit
from ops.sandbox.supervisor import engines, persistence
from ops.sandbox.terraform.rollout_probe import Rollout, RolloutProbe

_STEADY_WITHIN = 45.0  # seconds for the services to become healthy and stay so
_REGISTRY_FOLDERS = {
    "process": "registry",
    "docker": "registry-docker",
}  # no container runs on the base of the processes, which holds no files


@dataclass
class SandboxStack:
    """The started components, newest last; `stop` stops them newest first."""

    paths: Paths
    ports: Ports
    timing: Timing
    socket: Path  # of the sandbox's own engine
    say: Callable[[str], None]
    upstream_address: str | None = None  # host:port of a real registry behind the front
    parts: list[Component] = field(default_factory=list)
    engine: engines.Engine | None = None
    images: Path = field(
        init=False
    )  # where the registry keeps its images, or what it notes of them
    upstream: Upstream | None = None
    aws: Aws | None = None
    rollout: Rollout | None = None
    edge_faults: EdgeFaults = field(default_factory=EdgeFaults)
    certificates: Certificates = field(init=False)
    edge: Edge = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(
        self,
        engine: str,
        probe: RolloutProbe,
        login: Login,
        database: Future[None],
        checkout: Future[Commit],
    ) -> None:
        """Start everything up to two healthy services.

        Raises OpsError, OSError.

        After an error, `stop` stops what was started.
        """
        began = time.monotonic()
        self.aws = aws = serve(self.ports, self.timing)
        self.add(aws.part())
        clients = seed.Clients(aws.url, aws.keys.admin)
        self.upstream = _upstream(self.upstream_address)
        self.images = self.paths.images / (
            f"registry-of-{self.upstream_address}"
            if self.upstream_address
            else _REGISTRY_FOLDERS[engine]
        )
        self.add(serve_registry(self.images, aws.cloud.ecr, self.ports.registry, self.upstream))
        self.engine = (
            engines.own(self.paths, self.ports, self.socket, aws.cloud)
            if engine == "process"
            else engines.real(self.paths, lambda: seed.registry_token(clients), self.say)
        )
        self.add(self.engine.part)
        seed.make_repositories(clients)
        with ThreadPoolExecutor(1) as beside:
            images = beside.submit(self._images, clients, checkout)
            network = seed.make_network(clients, login.port)
            secret = seed.make_prerequisites(clients, login)
            chosen = images.result()
        self.say(f"AWS, registry and engine are up ({time.monotonic() - began:.1f} s)")
        database.result()
        self.add(
            Bastion(
                self.paths.bastion,
                self.ports.bastion,
                (DATABASE_HOST, login.port),
                (login.host, login.port),
            ).start()
        )
        aws.cloud.delay = self.edge_faults.delay
        agent = Agent(aws.cloud, self.engine.runtime, self.timing, self.ports.network, login.port)
        agent.start()
        self.add(Component("agent", agent.stop, agent.alive))
        self.certificates = Certificates(self.paths.authority)
        self.edge = start_edge(
            aws.cloud.load_balancer,
            self.ports.site,
            self.ports.alb,
            edge_faults=self.edge_faults,
            tls=(self.ports.site_tls, self.certificates.context),
            configuration=EdgeConfiguration(
                elb.idle_timeout, cloudfront.origin_problem, cloudfront.minimum_ttl
            ),
        )
        self.add(self.edge)
        for spec in seed.SERVICES:
            revision = seed.register(
                clients, spec, f"127.0.0.1:{self.ports.registry}/{chosen[spec.name]}", secret
            )
            seed.create(clients, spec, revision, network, self.timing)
        seed.make_account(clients, network, login)  # while the tasks start
        seed.await_steady(clients, _STEADY_WITHIN)
        self.choose(probe.result(clients), probe.wanted)
        self.say(f"both services are healthy: {', '.join(sorted(chosen.values()))}")

    def fault_handles(self, database: Server) -> SandboxHandles:
        """Return the components that faults act on, once everything is up."""
        assert self.aws is not None
        clients = seed.Clients(self.aws.url, self.aws.keys.admin)
        return SandboxHandles(
            self.paths,
            self.ports,
            self.timing,
            self.aws,
            clients,
            self.edge_faults,
            self.certificates,
            self.edge.cdn,
            database,
        )

    def add_latency(self) -> None:
        """Add `Timing.latency` seconds to every answer of AWS and the site."""
        assert self.aws is not None
        self.aws.gate.latency = self.edge_faults.extra_latency = self.timing.latency

    def choose(self, found: Rollout, wanted: str) -> None:
        """Set how this sandbox rolls out.

        Raises Refused if `wanted` is Terraform and it does not work here.
        """
        if wanted == "terraform" and found.kind != "terraform":
            raise Refused(
                "the sandbox can't roll out by Terraform here",
                found.why,
                "inv sandbox.up --rollout ecs",
            )
        self.rollout = found
        self.say(str(found))

    def _images(self, clients: seed.Clients, checkout: Future[Commit]) -> dict[str, str]:
        """Return the image that each service starts on; build version 1 if ECR does not have it."""
        assert self.aws is not None
        assert self.engine is not None
        cloud, commit = self.aws.cloud, checkout.result()
        restored = persistence.restore_images(self.images, cloud, self.upstream)
        first = {spec.name: f"{spec.repository}:{commit.short}" for spec in seed.SERVICES}
        for spec in seed.SERVICES:
            if cloud.ecr.digest(spec.repository, commit.short) is None:
                image = f"127.0.0.1:{self.ports.registry}/{first[spec.name]}"
                seed.build_and_push(self.engine.client, clients, self.paths, spec, image, commit)
        chosen = persistence.to_start(cloud, persistence.remembered(self.paths), first)
        if restored:
            self.say(
                f"created AWS again with {restored} images from disk; services start "
                f"on {', '.join(sorted(chosen.values()))}"
            )
        return chosen

    def add(self, part: Component) -> None:
        with self._lock:
            self.parts.append(part)

    def dead(self) -> list[str]:
        """Return the names of components whose threads or processes ended by themselves."""
        return [part.name for part in self.parts if not part.alive()]

    def stop(self, note: Callable[[str], Any]) -> None:
        """Stop every component, newest first; an error is noted and does not stop the rest."""
        while self.parts:
            part = self.parts.pop()
            try:
                part.stop()
            except Exception as exc:
                note(f"{part.name} did not stop cleanly: {exc!r}")


def _upstream(place: str | None) -> Upstream | None:
    """Return the real registry at `place`. Raises OpsError if there is none."""
    try:
        return Upstream.at(place) if place else None
    except NoRegistryError as error:
        raise OpsError(
            f"no registry at {place} for the sandbox",
            str(error),
            "start it, or `inv sandbox.up` without --registry",
        ) from error
