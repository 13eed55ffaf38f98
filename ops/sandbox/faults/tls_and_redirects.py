"""What the HTTPS twin of the site shows, and a load balancer that sends every viewer in a
circle.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import Ground, Kept, Work

HOST = "davidshaevel.com"


@dataclass(frozen=True)
class Shown(Work):
    """A certificate that a careful client refuses; `kind` as `Certificates.show` knows it, `code`:
    OpenSSL's verify result.
    """

    kind: str
    code: int

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.certificates.show(self.kind)
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        return verified(ground) == self.code

    def end(self, ground: Ground, kept: Kept) -> None:
        ground.certificates.show()

    def well(self, ground: Ground, kept: Kept) -> bool:
        return verified(ground) == 0


def verified(ground: Ground) -> int | None:
    """What OpenSSL says of the certificate for the site's own name: 0 is well (X509_V_OK); None
    without an answer.
    """
    context = ssl.create_default_context(cafile=str(ground.paths.authority))
    try:
        plainly = socket.create_connection(("127.0.0.1", ground.ports.site_tls), 5)
        with plainly, context.wrap_socket(plainly, server_hostname=HOST):
            return 0
    except ssl.SSLCertVerificationError as refused:
        return int(refused.verify_code)
    except OSError:
        return None


class RedirectLoop(Work):
    """A rule before all others sends http to https, but the CDN speaks plain http to the load
    balancer: the viewer goes in a circle.
    """

    def prepare(self, ground: Ground) -> Kept:
        balancers = ground.clients.elb.describe_load_balancers()["LoadBalancers"]
        listeners = ground.clients.elb.describe_listeners(
            LoadBalancerArn=balancers[0]["LoadBalancerArn"]
        )["Listeners"]
        return {"listener": listeners[0]["ListenerArn"]}

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        action = {
            "Type": "redirect",
            "RedirectConfig": {
                "Protocol": "HTTPS",
                "Port": "443",
                "Host": "#{host}",
                "Path": "/#{path}",
                "Query": "#{query}",
                "StatusCode": "HTTP_301",
            },
        }
        conditions = [{"Field": "path-pattern", "Values": ["/*"]}]
        made = ground.clients.elb.create_rule(
            ListenerArn=kept["listener"], Priority=1, Conditions=conditions, Actions=[action]
        )
        ground.cdn.forget("/*")
        return {"rule": made["Rules"][0]["RuleArn"]}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        found = probes.page(ground, "/")
        return (
            found is not None
            and found[0] == 301
            and str(found[1].getheader("Location")).endswith(f":{ground.ports.site}/")
        )

    def there(self, ground: Ground, kept: Kept) -> bool:
        return any(each["RuleArn"] == kept.get("rule") for each in rules(ground, kept))

    def end(self, ground: Ground, kept: Kept) -> None:
        if self.there(ground, kept):
            ground.clients.elb.delete_rule(RuleArn=kept["rule"])

    def well(self, ground: Ground, kept: Kept) -> bool:
        return probes.status(ground, "/") == 200


def rules(ground: Ground, kept: Kept) -> list[dict[str, Any]]:
    """The listener's rules as they stand."""
    return list(ground.clients.elb.describe_rules(ListenerArn=kept["listener"])["Rules"])
