"""Compare the parts of an environment that its services share: CDN, database, load balancer."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ops.aws.facts import Identity
from ops.cdn.facts import Distribution
from ops.environment.model import KeyComparison, absent, compare, same
from ops.environment.rules.service import nearest

if TYPE_CHECKING:
    from ops.core.config.database import Database
    from ops.core.config.settings import Environment

_CREDENTIALS = frozenset({"username", "password"})
_ADDRESS = (("host", "host"), ("name", "dbname"))  # setting, key of the secret


def host_name(address: str | None) -> str | None:
    """The host of a URL; None for an address of numbers, and for this machine."""
    host = urlsplit(address or "").hostname
    if not host or host == "localhost":
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return None


def account(configured: str, identity: Identity) -> KeyComparison:
    return compare("account", configured, identity.account, f"the credentials ({identity.arn})")


def cluster(name: str, status: str | None, existing: Sequence[str]) -> KeyComparison:
    if status == "ACTIVE":
        return same("cluster", name, "ECS")
    if status is None:
        return absent("cluster", name, "ECS has no such cluster", nearest(name, existing))
    return absent("cluster", name, f"ECS has it as {status}")


def cdn_keys(environment: Environment) -> dict[str, str]:
    """The configured keys that choose the distribution, and what it must have."""
    if "cdn" in environment.absent:
        return {}
    cdn = environment.cdn
    values = {
        "cdn.distribution": cdn.distribution,
        "cdn.alias": cdn.alias,
        "cdn.comment": cdn.comment,
        "cdn.origin": cdn.origin,
    }
    found = {key: value for key, value in values.items() if value}
    used = any(service.invalidate for service in environment.services.values())
    site = host_name(environment.site)
    return found | ({"site": str(environment.site)} if site and (found or used) else {})


def cdn(environment: Environment, found: Distribution) -> Iterator[KeyComparison]:
    """Compare the chosen distribution with the keys that describe it."""
    keys, source = cdn_keys(environment), f"distribution {found.id}"
    if "cdn.distribution" in keys:
        yield same("cdn.distribution", keys["cdn.distribution"], "CloudFront")
    if "cdn.alias" in keys:
        yield compare("cdn.alias", keys["cdn.alias"], found.aliases, source)
    if "cdn.comment" in keys:
        yield compare("cdn.comment", keys["cdn.comment"], found.comment, source)
    if "cdn.origin" in keys:
        policies = [each.rpartition(" ")[2] for each in found.origins]
        policies = [each for each in policies if each != "s3"]
        wrong = [each for each in policies if each != keys["cdn.origin"]]
        yield compare("cdn.origin", keys["cdn.origin"], wrong or policies, source)
    if "site" in keys:
        host = host_name(environment.site)
        names = [*found.aliases, found.domain]
        matches = str(host) in (name.lower() for name in names)
        yield (
            same("site", keys["site"], source) if matches else compare("site", host, names, source)
        )


def load_balancer(address: str, host: str, names: Sequence[str]) -> KeyComparison:
    if host.lower() in (name.lower() for name in names):
        return same("alb", address, "Elastic Load Balancing")
    why = "no load balancer of the Region has this name"
    return absent("alb", address, why, nearest(host, names))


def secret(database: Database, keys: frozenset[str] | None) -> KeyComparison:
    """The keys of the database's secret that a connection needs.

    RDS knows host and name where `database.instance` is configured.
    """
    name = str(database.secret)
    if keys is None:
        return absent("database.secret", name, "Secrets Manager has no such secret")
    needed = _CREDENTIALS
    if not database.instance:
        needed |= {key for setting, key in _ADDRESS if getattr(database, setting) is None}
    if missing := sorted(needed - keys):
        what = (
            f"a connection needs its keys {', '.join(sorted(needed))}, and it has no "
            f"{', '.join(missing)}"
        )
        return KeyComparison("database.secret", name, "different", sorted(keys), what, True)
    return same("database.secret", name, "Secrets Manager")


def instance(name: str, engine: str, status: str, secret_status: str = "") -> KeyComparison:
    """The database's instance. `secret_status`: of the secret that RDS manages for it."""
    if engine in ("postgres", "aurora-postgresql"):
        managed = f"; it manages the secret: {secret_status}" if secret_status else ""
        return same("database.instance", name, f"RDS ({status}{managed})")
    return absent("database.instance", name, f"RDS has it with the engine {engine}")
