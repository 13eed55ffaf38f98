"""Causes between the CDN and its origin: protocol, address, certificate."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, evidence, parse_time
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.edge.listeners import redirects_to_https
from ops.diagnosis.rules.edge.pages import GATEWAY_ERRORS, PageAnswer, pages

_PAGES = (
    "page_failing",
    "page_slow",
    "page_hangs",
    "wrong_body",
    "wrong_content_type",
    "wrong_status",
    "no_answer",
)
# LABEL.REGION.elb.amazonaws.com, in China LABEL.elb.REGION.amazonaws.com.cn
_ELB = re.compile(r"\.elb\.(?:[a-z0-9-]+\.)?amazonaws\.com(?:\.cn)?$")


@dataclass(frozen=True)
class Origin:
    """The origin that the distribution asks for a path."""

    distribution: str
    domain: str
    policy: str  # OriginProtocolPolicy, or "" of an S3 origin
    http_port: int = 80
    https_port: int = 443

    @property
    def evidence(self) -> Evidence:
        text = f"{self.domain} {self.policy}"
        return evidence(f"GetDistribution {self.distribution} Origins", text.strip())

    def uses_https(self, site: str) -> bool:
        """Whether it is asked by HTTPS for a viewer of this site."""
        viewer = self.policy == "match-viewer" and urlsplit(site).scheme == "https"
        return self.policy == "https-only" or viewer


def origin(incident: Incident, path: str) -> Origin | None:
    """The origin for a path; None if the distribution is unknown, or for an origin group."""
    found = incident.content("cdn/distribution")
    config = (found or {}).get("DistributionConfig")
    if not config:
        return None
    wanted = behaviour(config, path).get("TargetOriginId")
    for each in (config.get("Origins") or {}).get("Items") or ():
        if each.get("Id") == wanted:
            custom = each.get("CustomOriginConfig") or {}
            return Origin(
                found["Id"],
                each["DomainName"],
                custom.get("OriginProtocolPolicy", ""),
                custom.get("HTTPPort", 80),
                custom.get("HTTPSPort", 443),
            )
    return None


def behaviour(config: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The cache behaviour of a path: the first whose pattern matches, else the default one."""
    for each in (config.get("CacheBehaviors") or {}).get("Items") or ():
        pattern = str(each.get("PathPattern", "")).lstrip("/").replace("[", "[[]")
        if fnmatchcase(path.lstrip("/"), pattern):
            return dict(each)
    return dict(config.get("DefaultCacheBehavior") or {})


@cause(
    "origin_protocol_loop",
    layer="cdn",
    symptoms="A page redirects to itself for ever: ERR_TOO_MANY_REDIRECTS.",
    cure="Set OriginProtocolPolicy to https-only, or let the HTTP listener forward.",
    explains=("redirect_loop", "origin_protocol", "stale_cache", *_PAGES),
)
def origin_protocol_loop(incident: Incident) -> Iterator[Candidate]:
    """The CDN asks by HTTP, and the load balancer redirects to HTTPS: to the same page."""
    looping = []
    for page in pages(incident, "cdn"):
        asked = origin(incident, page.path)
        if asked is None or not asked.policy or not _to_itself(page):
            continue
        rule = redirects_to_https(incident, page)
        if not asked.uses_https(page.url) and rule:
            looping.append((page, asked, rule))
    if looping:
        page, asked, rule = looping[0]
        finding = Finding(
            "origin_protocol_loop",
            f"{asked.distribution} asks its origin {asked.domain} by HTTP ({asked.policy}), and "
            f"the load balancer redirects that to HTTPS: {page.path} leads to itself",
            "certain",
            (
                *(each.evidence("location") for each, _, _ in looping[:3]),
                asked.evidence,
                rule.evidence,
            ),
            ("inv tf.drift", "inv cdn.status"),
        )
        because = "the location is the page's own address, so only the protocol behind it differs"
        yield Candidate(finding, "", because)


def _to_itself(page: PageAnswer) -> bool:
    """Whether the page redirects to its own address, whatever the protocol."""
    asked, to = urlsplit(page.url), urlsplit(page.location)
    same_host = not to.netloc or to.hostname == asked.hostname
    return bool(page.location) and same_host and (to.path or "/") == (asked.path or "/")


@cause(
    "origin_unreachable",
    layer="cdn",
    symptoms="CloudFront answers 502, 503 or 504 itself: X-Cache: Error from cloudfront.",
    cure="Correct the origin's domain or port, or let CloudFront in at the load balancer.",
    explains=_PAGES,
)
def origin_unreachable(incident: Incident) -> Iterator[Candidate]:
    """CloudFront gets no answer from its origin."""
    failed = [
        (page, asked)
        for page in pages(incident, "cdn")
        if page.status in GATEWAY_ERRORS
        and page.from_cloudfront
        and (asked := origin(incident, page.path))
    ]
    by_origin = {asked: [page for page, of in failed if of == asked] for _, asked in failed}
    for asked, some in by_origin.items():
        if not any(_certificate_problems(incident, asked, page) for page in some):
            yield _unreachable(incident, asked, some)


def _unreachable(incident: Incident, asked: Origin, some: list[PageAnswer]) -> Candidate:
    paths = {page.path for page in some}
    direct = [
        page
        for page in pages(incident, "alb")
        if page.path in paths and 0 < page.status < 500 and not page.from_balancer
    ]
    reason, proof = _origin_mistake(incident, asked, some[0])
    status = ", ".join(sorted({str(page.status) for page in some}))
    finding = Finding(
        "origin_unreachable",
        f"{asked.distribution} gets no answer from its origin {asked.domain} and answers "
        f"{status}{reason}",
        "certain" if proof else ("likely" if direct else "possible"),
        (
            *(page.evidence("server", "x-cache") for page in some[:3]),
            asked.evidence,
            *proof,
            *(page.evidence("server") for page in direct[:2]),
        ),
        ("inv tf.drift", "inv cdn.status"),
    )
    because = (
        "CloudFront made the answer itself, and the load balancer serves the same page directly"
        if direct
        else "CloudFront made the answer itself, not the load balancer"
    )
    return Candidate(finding, "", because)


def _origin_mistake(
    incident: Incident, asked: Origin, page: PageAnswer
) -> tuple[str, tuple[Evidence, ...]]:
    """What is wrong with the origin's address, as text and evidence; "" if nothing is known."""
    balancers = (incident.content("elb/load-balancers") or {}).values()
    names = [each.get("DNSName", "").lower() for each in balancers if each.get("DNSName")]
    domain = asked.domain.lower().removeprefix("dualstack.")
    if names and _ELB.search(domain) and domain not in names:
        proof = evidence("DescribeLoadBalancers", ", ".join(names))
        return f": no load balancer of the services has this name (they have {names[0]})", (proof,)
    ports = _listener_ports(incident, domain)
    port = asked.https_port if asked.uses_https(page.url) else asked.http_port
    if ports and port not in ports:
        proof = evidence("DescribeListeners", f"ports {', '.join(map(str, sorted(ports)))}")
        return f": it connects to port {port}, on which there is no listener", (proof,)
    return "", ()


def _listener_ports(incident: Incident, domain: str) -> set[int]:
    """Ports of the load balancer with this name; empty if it is unknown."""
    listeners = incident.content("elb/listeners") or {}
    for arn, balancer in (incident.content("elb/load-balancers") or {}).items():
        if balancer.get("DNSName", "").lower() == domain:
            return {each["Port"] for each in listeners.get(arn) or () if each.get("Port")}
    return set()


@cause(
    "origin_certificate",
    layer="cdn",
    symptoms="CloudFront answers 502; its origin's certificate has expired or another name.",
    cure="Attach a certificate for the origin's name, or for the Host that CloudFront forwards.",
    explains=("origin_unreachable", *_PAGES),
)
def origin_certificate(incident: Incident) -> Iterator[Candidate]:
    """The load balancer's certificate is not valid for CloudFront's request."""
    for page in pages(incident, "cdn"):
        asked = origin(incident, page.path)
        if page.status != 502 or not page.from_cloudfront or asked is None:
            continue
        for problem, proof in _certificate_problems(incident, asked, page):
            finding = Finding(
                "origin_certificate",
                f"the certificate of the origin {asked.domain} {problem}, so CloudFront answers "
                f"502",
                "likely",
                (proof, page.evidence("server", "x-cache"), asked.evidence),
                ("inv health.certificates", "inv tf.drift"),
            )
            because = "CloudFront asks this origin by HTTPS, and refuses such a certificate"
            yield Candidate(finding, "", because)


def _certificate_problems(
    incident: Incident, asked: Origin, page: PageAnswer
) -> list[tuple[str, Evidence]]:
    """Why CloudFront refuses every certificate of the listener; empty if one is accepted."""
    known = incident.content("acm/certificates")
    if known is None or not asked.uses_https(page.url):
        return []
    used = [
        certificate["CertificateArn"]
        for listeners in (incident.content("elb/listeners") or {}).values()
        for listener in listeners
        if listener.get("Port") == asked.https_port
        for certificate in listener.get("Certificates") or ()
    ]
    if not used or any(arn not in known for arn in used):
        return []
    names = {asked.domain, urlsplit(incident.subject.get("site") or "").hostname or ""}
    problems = [_problem(known[arn], names, incident.at) for arn in used]
    if not all(problems):
        return []
    return [
        (problem, evidence(f"DescribeCertificate {arn.rsplit('/', 1)[-1]}", text))
        for arn, found in zip(used, problems, strict=True)
        if found
        for problem, text in (found,)
    ]


def _problem(
    certificate: Mapping[str, Any], names: set[str], now: datetime
) -> tuple[str, str] | None:
    ends = parse_time(certificate.get("NotAfter"))
    if certificate.get("Status") == "EXPIRED" or (ends is not None and ends <= now):
        return "has expired", f"Status {certificate.get('Status')} NotAfter {ends}"
    own = [certificate.get("DomainName", ""), *(certificate.get("SubjectAlternativeNames") or ())]
    if not any(_certifies(each, name) for each in own for name in names if name):
        return "is for another name", f"DomainName {', '.join(dict.fromkeys(filter(None, own)))}"
    return None


def _certifies(pattern: str, name: str) -> bool:
    """Whether a certificate's name covers a host; `*` stands for one label (RFC 9525)."""
    pattern, name = pattern.lower(), name.lower()
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name
