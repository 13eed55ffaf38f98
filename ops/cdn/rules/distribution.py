"""Choose the site's distribution, name invalidations, and detect old cached pages.

(facts.md, incidents 5 and 8)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ops.cdn.facts import CacheAnswer, Distribution
from ops.core.errors import Refused

if TYPE_CHECKING:
    from ops.core.config.settings import Cdn

_SLACK = timedelta(seconds=2)  # `age` is whole seconds, and two clocks are compared
_KEPT = frozenset({"hit"})  # a RefreshHit was just validated with the origin


def choose(found: Sequence[Distribution], cdn: Cdn, site: str | None) -> Distribution:
    """The distribution with the configured alias, else comment, else the site's host as alias.

    An alias may be covered by a wildcard (`*.example.com`); the exact one, then the longest wins,
    as at CloudFront. Staging distributions serve no production traffic and are never chosen; of
    several that match, the only enabled one is.

    Raises Refused naming the candidates: a wrong choice would invalidate another site's cache.
    """
    alias = cdn.alias or (None if cdn.comment else urlsplit(site or "").hostname)
    wanted = " or ".join(
        text
        for text in (alias and f"alias {alias}", cdn.comment and f"comment {cdn.comment!r}")
        if text
    )
    production = [each for each in found if not each.staging]
    matching = _with_alias(production, alias) if alias else []
    matching = matching or [
        each for each in production if cdn.comment and each.comment == cdn.comment
    ]
    enabled = [each for each in matching if each.enabled]
    chosen = matching if len(matching) == 1 else enabled
    if len(chosen) == 1:
        return chosen[0]
    there = ", ".join(str(each) for each in matching or found) or "none"
    how = "several match" if matching else "none matches"
    raise Refused(
        f"CloudFront distribution with {wanted or 'no alias or comment configured'}",
        f"{how}; found: {there}",
        "set cdn.alias, cdn.comment or cdn.distribution of this environment in invoke.yaml",
    )


def _with_alias(found: Sequence[Distribution], host: str) -> list[Distribution]:
    """The distributions whose alias covers a host best; aliases are unique in all of CloudFront."""
    covering = {
        each.id: max((_coverage(alias, host) for alias in each.aliases), default=0)
        for each in found
    }
    best = max(covering.values(), default=0)
    return [each for each in found if best and covering[each.id] == best]


def _coverage(alias: str, host: str) -> int:
    """How closely an alias covers a host: 0 for not at all, most for the host itself."""
    alias, host = alias.lower(), host.lower()
    wildcard = alias.startswith("*.") and host.endswith(alias[1:]) and host != alias[1:]
    return len(host) + 1 if alias == host else len(alias) if wildcard else 0


def reference(deployment: str, paths: Iterable[str]) -> str:
    """CallerReference of a deployment's invalidation.

    Repeating it is not charged twice; other paths make another one.
    """
    return f"inv-{deployment}-{hashlib.sha256(' '.join(paths).encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class RunningSince:
    """The earliest and the latest time at which a service began to run its present content.

    `registered`: its revision was registered, and ran nowhere before. `deployed`: its deployment
    began; that may be a restart, which changes no content. None if unknown.
    """

    registered: datetime | None = None
    deployed: datetime | None = None


def cached_before(answer: CacheAnswer, since: RunningSince, now: datetime) -> bool | None:
    """Whether the page was cached before the service ran its present content.

    None if unknown: between the registration and the newest deployment of a revision, an earlier
    deployment of it may have answered, as after a restart. Then only the content decides.
    """
    if answer.cache not in _KEPT:
        return False
    if answer.age_s is None:
        return None
    cached_at = now - timedelta(seconds=answer.age_s) + _SLACK
    if since.deployed and cached_at >= since.deployed:
        return False
    return True if since.registered and cached_at < since.registered else None
