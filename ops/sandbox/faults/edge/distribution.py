"""Faults of the CloudFront distribution: its origin's address and certificate, its cache.

All are caused by UpdateDistribution, as an operator's mistake would be. Differs from AWS: a change
applies at once (there, after minutes), and the certificate is checked by its dates and names only.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles

_OLD_BALANCER = "dev-davidshaevel-old-alb-1.us-east-1.elb.amazonaws.com"
_MINIMUM_TTL = 60  # seconds


class DistributionFault(FaultInjector):
    """A change of the distribution's configuration, which removal takes back."""

    page = "/"

    @abstractmethod
    def change(self, config: dict[str, Any]) -> None:
        """Change the configuration as the mistake does."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        found = handles.clients.cloudfront.list_distributions()["DistributionList"]["Items"][0]
        return {"distribution": found["Id"], "before": self._config(handles, found["Id"])[0]}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        config, etag = self._config(handles, state["distribution"])
        self.change(config)
        self._update(handles, state, config, etag)
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether making the change again would alter nothing."""
        config, changed = (self._config(handles, state["distribution"])[0] for _ in range(2))
        self.change(changed)
        return bool(config == changed)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, self.page) == 502

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        _, etag = self._config(handles, state["distribution"])
        self._update(handles, state, state["before"], etag)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, self.page) == 200

    @staticmethod
    def _config(handles: SandboxHandles, distribution: str) -> tuple[dict[str, Any], str]:
        found = handles.clients.cloudfront.get_distribution_config(Id=distribution)
        return found["DistributionConfig"], found["ETag"]

    @staticmethod
    def _update(
        handles: SandboxHandles, state: FaultState, config: dict[str, Any], etag: str
    ) -> None:
        handles.clients.cloudfront.update_distribution(
            Id=state["distribution"], IfMatch=etag, DistributionConfig=config
        )
        handles.cdn.forget("/*")


class OldOrigin(DistributionFault):
    """The origin is the name of a load balancer that was deleted."""

    def change(self, config: dict[str, Any]) -> None:
        config["Origins"]["Items"][0]["DomainName"] = _OLD_BALANCER


class NoHttpsListener(DistributionFault):
    """The origin is asked by HTTPS, and the load balancer has no such listener."""

    def change(self, config: dict[str, Any]) -> None:
        origin = config["Origins"]["Items"][0]
        origin["CustomOriginConfig"]["OriginProtocolPolicy"] = "https-only"


class OriginCertificate(NoHttpsListener):
    """The origin is asked by HTTPS, and its listener has a certificate for another host."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        import trustme

        leaf = trustme.CA().issue_cert("other.example")
        imported = handles.clients.acm.import_certificate(
            Certificate=leaf.cert_chain_pems[0].bytes(), PrivateKey=leaf.private_key_pem.bytes()
        )
        elb = handles.clients.elb
        balancer = elb.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
        plain = elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"][0]
        made = elb.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTPS",
            Port=443,
            Certificates=[{"CertificateArn": imported["CertificateArn"]}],
            DefaultActions=[
                {"Type": "forward", "TargetGroupArn": each["TargetGroupArn"]}
                for each in plain["DefaultActions"]
            ],
        )
        super().inject(handles, state)
        return {
            "certificate": imported["CertificateArn"],
            "listener": made["Listeners"][0]["ListenerArn"],
        }

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        super().remove(handles, state)
        if "listener" in state:
            handles.clients.elb.delete_listener(ListenerArn=state["listener"])
            handles.clients.acm.delete_certificate(CertificateArn=state["certificate"])


@dataclass(frozen=True)
class CachedApi(DistributionFault):
    """The behaviour of /api/* caches every answer for a minute, even of no-store."""

    page: str = "/api/projects"

    def change(self, config: dict[str, Any]) -> None:
        behaviour = config["CacheBehaviors"]["Items"][0]
        behaviour.pop("CachePolicyId", None)
        forwarded = {"QueryString": True, "Cookies": {"Forward": "none"}}
        behaviour.update(
            ForwardedValues=forwarded,
            MinTTL=_MINIMUM_TTL,
            DefaultTTL=_MINIMUM_TTL,
            MaxTTL=_MINIMUM_TTL,
        )

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        config, _ = self._config(handles, state["distribution"])
        return bool(config["CacheBehaviors"]["Items"][0].get("MinTTL") == _MINIMUM_TTL)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return self._hit(handles)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return super().is_healthy(handles, state) and not self._hit(handles)

    def _hit(self, handles: SandboxHandles) -> bool:
        found = probes.page(handles, self.page)
        return found is not None and (found[1].getheader("X-Cache") or "").startswith("Hit")
