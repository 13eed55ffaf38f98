"""Probes of the TLS certificates of every https address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from ops.health.inputs import SweepInputs
from ops.health.model import Check, CheckKey
from ops.health.probe_runner import Probe, health_group
from ops.health.rules import edge as rules
from ops.http import tls


@health_group(
    "certificates",
    when_empty="neither site nor site_tls is an https address",
    needs=("site_tls", "site"),
)
def probes(inputs: SweepInputs) -> Iterator[Probe]:
    """Yield a probe for each https address: the site, its TLS name, the load balancer.

    The load balancer is asked for the certificate of the site's name.
    """
    environment = inputs.environment
    for address in dict.fromkeys((environment.site, environment.site_tls, environment.alb)):
        if address and urlsplit(address).scheme == "https":
            balancer = address == environment.alb
            label = "alb" if balancer else urlsplit(address).hostname or ""
            name = urlsplit(environment.site or "").hostname if balancer else None
            layer = "alb" if balancer else "cdn"
            yield Probe(
                (
                    CheckKey("certificates", "handshake", label, layer),
                    CheckKey("certificates", "certificate", label, layer),
                ),
                partial(_certificates, inputs, address, label, layer, name),
                lane="pages",
            )


def _certificates(
    inputs: SweepInputs, address: str, label: str, layer: str, name: str | None
) -> Iterable[Check]:
    """Check the handshake and every certificate of the chain.

    `label`: the subject of the checks; `name`: the server name to request (None: the address's
    own).
    """
    health, now = inputs.environment.health, datetime.now(UTC)
    chain = tls.chain(address, inputs.context.timeout_s, inputs.environment.site_ca, name)
    dates = [
        rules.dates(
            label,
            position,
            each.subject,
            each.begins,
            each.ends,
            now,
            health.certificate_days,
            layer,
        )
        for position, each in enumerate(chain.certificates)
    ]
    return [rules.handshake(label, chain.problem, chain.cause, layer), *dates]
