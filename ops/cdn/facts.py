"""CloudFront's facts: a distribution, an invalidation, and a page's cache headers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

EVERYTHING = "/*"


@dataclass(frozen=True)
class Distribution:
    """One distribution (ListDistributions, GetDistribution).

    `status` is Deployed, or InProgress while a change propagates.
    """

    id: str
    domain: str
    status: str
    enabled: bool
    aliases: tuple[str, ...]
    comment: str
    origins: tuple[str, ...] = ()  # "HOST http-only" (OriginProtocolPolicy), or "HOST s3"

    def __str__(self) -> str:
        known_as = ", ".join(self.aliases) or self.comment
        return f"{self.id} ({known_as})" if known_as else self.id

    def as_document(self) -> dict[str, object]:
        return {**vars(self), "aliases": list(self.aliases), "origins": list(self.origins)}


@dataclass(frozen=True)
class Invalidation:
    """One invalidation (CreateInvalidation, GetInvalidation).

    `status` is InProgress, then Completed after some minutes.
    """

    id: str
    status: str
    paths: tuple[str, ...]
    reference: str
    created_at: datetime | None = None

    @property
    def completed(self) -> bool:
        return self.status == "Completed"

    def as_document(self) -> dict[str, object]:
        return {
            "id": self.id,
            "status": self.status,
            "paths": list(self.paths),
            "created_at": self.created_at,
        }


@dataclass(frozen=True)
class CacheAnswer:
    """The cache headers of one page.

    `cache` is the first word of `x-cache` (hit, miss, refreshhit, error), `none` without that
    header.
    """

    path: str
    status: int
    cache: str
    age_s: int | None
    pop: str
