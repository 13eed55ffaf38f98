"""Faults of TLS and redirects: invalid certificates on the HTTPS site, and a redirect loop."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles

_HOST = "davidshaevel.com"


@dataclass(frozen=True)
class BadCertificate(FaultInjector):
    """A certificate that clients reject.

    `kind` is an argument of `Certificates.show`, `code` OpenSSL's verify result.
    """

    kind: str
    code: int

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.certificates.show(self.kind)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return _verify_code(handles) == self.code

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        handles.certificates.show()

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return _verify_code(handles) == 0


def _verify_code(handles: SandboxHandles) -> int | None:
    """Return OpenSSL's verify result for the site's own name; 0 is valid (X509_V_OK).

    None without an answer.
    """
    context = ssl.create_default_context(cafile=str(handles.paths.authority))
    try:
        plainly = socket.create_connection(("127.0.0.1", handles.ports.site_tls), 5)
        with plainly, context.wrap_socket(plainly, server_hostname=_HOST):
            return 0
    except ssl.SSLCertVerificationError as refused:
        return int(refused.verify_code)
    except OSError:
        return None


class RedirectLoop(FaultInjector):
    """A listener rule redirects http to https, although the CDN always connects by http.

    The viewer is redirected to the same URL for ever.
    """

    def prepare(self, handles: SandboxHandles) -> FaultState:
        balancers = handles.clients.elb.describe_load_balancers()["LoadBalancers"]
        listeners = handles.clients.elb.describe_listeners(
            LoadBalancerArn=balancers[0]["LoadBalancerArn"]
        )["Listeners"]
        return {"listener": listeners[0]["ListenerArn"]}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
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
        made = handles.clients.elb.create_rule(
            ListenerArn=state["listener"], Priority=1, Conditions=conditions, Actions=[action]
        )
        handles.cdn.forget("/*")
        return {"rule": made["Rules"][0]["RuleArn"]}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = probes.page(handles, "/")
        return (
            found is not None
            and found[0] == 301
            and str(found[1].getheader("Location")).endswith(f":{handles.ports.site}/")
        )

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return any(each["RuleArn"] == state.get("rule") for each in _listener_rules(handles, state))

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            handles.clients.elb.delete_rule(RuleArn=state["rule"])

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, "/") == 200


def _listener_rules(handles: SandboxHandles, state: FaultState) -> list[dict[str, Any]]:
    """Return the listener's current rules."""
    return list(handles.clients.elb.describe_rules(ListenerArn=state["listener"])["Rules"])
