"""Choose the site's distribution, name invalidations, and detect old cached pages.

(facts.md, incidents 5 and 8)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
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

    Raises Refused naming the candidates: a wrong choice would invalidate another site's cache.
    """
    alias = cdn.alias or (None if cdn.comment else urlsplit(site or "").hostname)
    wanted = " or ".join(
        text
        for text in (alias and f"alias {alias}", cdn.comment and f"comment {cdn.comment!r}")
        if text
    )
    matching = [
        each
        for each in found
        if alias and alias.lower() in (known.lower() for known in each.aliases)
    ]
    matching = matching or [each for each in found if cdn.comment and each.comment == cdn.comment]
    if len(matching) == 1:
        return matching[0]
    there = ", ".join(str(each) for each in matching or found) or "none"
    how = "several match" if matching else "none matches"
    raise Refused(
        f"CloudFront distribution with {wanted or 'no alias or comment configured'}",
        f"{how}; found: {there}",
        "set cdn.alias, cdn.comment or cdn.distribution of this environment in invoke.yaml",
    )


def reference(deployment: str, paths: Iterable[str]) -> str:
    """CallerReference of a deployment's invalidation.

    Repeating it is not charged twice; other paths make another one.
    """
    return f"inv-{deployment}-{hashlib.sha256(' '.join(paths).encode()).hexdigest()[:12]}"


def is_undated(answer: CacheAnswer, deployed_at: datetime | None) -> bool:
    """Whether it is unknown if a cached page is older than the running deployment."""
    return answer.cache in _KEPT and (answer.age_s is None or deployed_at is None)


def is_older_copy(answer: CacheAnswer, deployed_at: datetime | None, now: datetime) -> bool:
    """Whether the page was cached before the running deployment began."""
    if answer.cache not in _KEPT or answer.age_s is None or deployed_at is None:
        return False
    return now - timedelta(seconds=answer.age_s) + _SLACK < deployed_at
