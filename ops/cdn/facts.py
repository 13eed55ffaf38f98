"""CloudFront's facts: a distribution, an invalidation, and a page's cache headers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

EVERYTHING = "/*"


@dataclass(frozen=True)
class Distribution:
    """One distribution (ListDistributions, GetDistribution).

    `status` is Deployed, or InProgress while a change propagates. `staging`: it is the copy of a
    continuous deployment, which shares comment and origins with its primary distribution.
    """

    id: str
    domain: str
    status: str
    enabled: bool
    aliases: tuple[str, ...]
    comment: str
    origins: tuple[str, ...] = ()  # "HOST http-only" (OriginProtocolPolicy), or "HOST s3"
    origin_paths: tuple[str, ...] = ()  # prefixes that it adds at an origin (OriginPath)
    staging: bool = False

    def __str__(self) -> str:
        known_as = ", ".join(self.aliases) or self.comment
        notes = (known_as, "staging" if self.staging else "", "" if self.enabled else "disabled")
        about = "; ".join(filter(None, notes))
        return f"{self.id} ({about})" if about else self.id

    def as_document(self) -> dict[str, object]:
        return {
            **vars(self),
            "aliases": list(self.aliases),
            "origins": list(self.origins),
            "origin_paths": list(self.origin_paths),
        }


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


@dataclass(frozen=True)
class PageCopy:
    """One answer to GET of a page, without its body.

    `digest` is the SHA-256 of the decoded body (of a redirect: and its location), or of its first
    MiB if not `whole`; None if the body could not be decoded. Then `encoding` is its content
    encoding ("br"), and `encoded` the SHA-256 of the whole body as it was sent. `version` is the
    version that the page names, None if it names none.
    """

    status: int
    etag: str = ""
    last_modified: str = ""
    digest: str | None = None
    whole: bool = True
    version: str | None = None
    encoding: str = ""
    encoded: str | None = None

    @property
    def identity(self) -> str:
        """The shortest evidence of the content: version, hash (12 digits) or ETag."""
        parts = (
            self.version and f"version {self.version}",
            self.digest and f"sha256 {self.digest[:12]}",
            self.encoded and f"sha256 {self.encoded[:12]} of its {self.encoding} body",
            self.etag and f"ETag {self.etag}",
            self.last_modified and f"Last-Modified {self.last_modified}",
        )
        return next((part for part in parts if part), f"status {self.status}")

    def as_document(self) -> dict[str, object]:
        return {
            "status": self.status,
            "etag": self.etag or None,
            "last_modified": self.last_modified or None,
            "sha256": self.digest[:12] if self.digest else None,
            "version": self.version,
        }


@dataclass(frozen=True)
class EdgeProof:
    """Whether the edge serves what the origin serves: `fresh`, `stale` or `unknown`, and why.

    `method` is what decided it: `version`, `content` or `age`; `miss` for a page that came from the
    origin just now; "" if nothing did.
    """

    state: str
    method: str
    why: str
    edge: PageCopy | None = None
    origin: PageCopy | None = None

    def as_document(self) -> dict[str, object]:
        return {
            "state": self.state,
            "proof": self.method or None,
            "why": self.why,
            "edge": self.edge.as_document() if self.edge else None,
            "origin": self.origin.as_document() if self.origin else None,
        }
