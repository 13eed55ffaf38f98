"""The edge: a CloudFront distribution and an Application Load Balancer as two small HTTP servers on loopback.

What is emulated: the ALB's choice of target group, target and error code (`alb.py`), CloudFront's cache, its headers and its
invalidations (`cdn.py`). Where it differs from AWS: plain HTTP/1.1 only (no TLS, HTTP/2, WebSocket, WAF), one distribution before
one load balancer, one edge location, and time-outs of seconds (`EdgeSettings`); each module says the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ops.sandbox.contracts import LoadBalancerDoor, Part
from ops.sandbox.edge.alb import LoadBalancer
from ops.sandbox.edge.cdn import Cdn
from ops.sandbox.edge.wire import Front


@dataclass(frozen=True)
class EdgeSettings:
    """Time-outs and lifetimes in seconds, beside AWS's own."""

    connect_timeout: float = 2.0      # ALB to target (AWS: 10 s)
    target_timeout: float = 10.0      # idle time-out, a target that does not answer (AWS: 60 s)
    origin_timeout: float = 15.0      # CloudFront to ALB (AWS: 30 s)
    default_ttl: float = 86_400.0     # a cached answer that names no lifetime (AWS: the same, CachingOptimized)


def start_edge(
    door: LoadBalancerDoor,
    site_port: int,
    alb_port: int,
    settings: EdgeSettings | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Part:
    """Serve the ALB on `alb_port` and CloudFront before it on `site_port` (127.0.0.1), in threads of this process.

    `log` gets one line a request. Raises OSError when a port is taken.
    """
    chosen = settings or EdgeSettings()
    balancer = LoadBalancer(door, chosen.connect_timeout, chosen.target_timeout)
    cdn = Cdn(door, alb_port, chosen.origin_timeout, chosen.default_ttl)
    alb = Front("alb", alb_port, balancer, log)
    try:
        site = Front("site", site_port, cdn, log)
    except OSError:
        alb.stop()
        raise

    def stop() -> None:
        site.stop()
        alb.stop()

    return Part("edge", stop, lambda: alb.alive() and site.alive())
