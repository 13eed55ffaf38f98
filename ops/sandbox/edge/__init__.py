"""The edge: a CloudFront distribution and an Application Load Balancer as HTTP servers.

Emulated are the ALB's choice of target group, target and error code (`alb.py`), CloudFront's cache,
headers and invalidations (`cdn.py`), and with `tls` a copy of the site over HTTPS. Differs from
AWS: HTTP/1.1 only (no HTTP/2, WebSocket, WAF), no redirect from http to https, one distribution
before one load balancer, one edge location, and time-outs of seconds (`EdgeSettings`); each module
lists the rest.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ops.sandbox.contracts import Component, EdgeConfiguration, LoadBalancerBackend
from ops.sandbox.edge.alb import LoadBalancer
from ops.sandbox.edge.cdn import Cdn, over_tls
from ops.sandbox.edge.fault_injection import EdgeFaults
from ops.sandbox.edge.http_server import Handler, HttpServer, Request, Response


@dataclass(frozen=True)
class EdgeSettings:
    """Time-outs and lifetimes in seconds, with AWS's own in the comments."""

    connect_timeout: float = 2.0  # ALB to target (AWS: 10 s)
    target_timeout: float = 10.0  # idle time-out, a target that does not answer (AWS: 60 s)
    origin_timeout: float = 15.0  # CloudFront to ALB (AWS: 30 s)
    default_ttl: float = (
        86_400.0  # a cached answer that names no lifetime (AWS: the same, CachingOptimized)
    )


@dataclass(frozen=True)
class Edge(Component):
    """The running edge and its cache."""

    cdn: Cdn = field(kw_only=True)


def start_edge(
    backend: LoadBalancerBackend,
    site_port: int,
    alb_port: int,
    settings: EdgeSettings | None = None,
    log: Callable[[str], None] = lambda line: None,
    edge_faults: EdgeFaults | None = None,
    tls: tuple[int, ssl.SSLContext] | None = None,
    configuration: EdgeConfiguration | None = None,
) -> Edge:
    """Serve the ALB on `alb_port` and CloudFront before it on `site_port`, in threads.

    Both listen on 127.0.0.1. `log` gets one line per request; `edge_faults` are the faults to
    inject; `tls` is the port and context of the HTTPS site; `configuration` is
    that of AWS. Raises OSError if a port is taken.
    """
    chosen = settings or EdgeSettings()
    edge_faults = edge_faults or EdgeFaults()
    balancer = LoadBalancer(
        backend, chosen.connect_timeout, chosen.target_timeout, edge_faults, configuration
    )
    cdn = Cdn(
        backend, alb_port, chosen.origin_timeout, chosen.default_ttl, edge_faults, configuration
    )
    fronts: list[HttpServer] = []

    def stop() -> None:
        for front in reversed(fronts):
            front.stop()

    try:
        fronts.append(HttpServer("alb", alb_port, _distant(balancer, edge_faults), log))
        fronts.append(HttpServer("site", site_port, _distant(cdn, edge_faults), log))
        if tls is not None:
            fronts.append(
                HttpServer(
                    "site-tls",
                    tls[0],
                    _distant(lambda request: cdn(over_tls(request)), edge_faults),
                    log,
                    tls[1],
                )
            )
    except OSError:
        stop()
        raise
    return Edge("edge", stop, lambda: all(front.alive() for front in fronts), cdn=cdn)


def _distant(handler: Handler, edge_faults: EdgeFaults) -> Handler:
    """Wrap a handler to add the extra latency, except between CDN and load balancer."""

    def handle(request: Request) -> Response | None:
        if edge_faults.extra_latency and request.header("X-Amz-Cf-Id") is None:
            time.sleep(edge_faults.extra_latency)
        return handler(request)

    return handle
