"""Decide whether the edge serves a stale page, by comparing it with the origin's.

Age alone does not prove staleness: a page may be unchanged since, and a page cached during a
rollout may be old although it is younger than the deployment. A page that differs at each request
(a nonce, a date, a CSRF token) cannot be compared; the origin is therefore asked twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from ops.cdn.facts import CacheAnswer, EdgeProof, PageCopy
from ops.core.findings import Unknown

FRESH, STALE, UNKNOWN = "fresh", "stale", "unknown"


@dataclass(frozen=True)
class PageCopies:
    """The copy of a page at the edge, and two answers of its origin, asked before and after it.

    `rolling_out`: two versions may answer. `released`: the version that runs, if known.
    """

    edge: PageCopy | Unknown
    origin: tuple[PageCopy, PageCopy] | Unknown
    rolling_out: bool = False
    released: str | None = None


def missed(answer: CacheAnswer) -> EdgeProof | None:
    """The proof for a page that was not in the cache: nothing needs to be compared."""
    if answer.cache == "miss" and answer.status < 400:
        return EdgeProof(FRESH, "miss", "not cached: it came from the origin")
    return None


def prove(answer: CacheAnswer, copies: PageCopies, before: bool | None) -> EdgeProof:
    """The proof for a page with these cache headers.

    `before`: cached before the running deployment began; None if unknown. It decides only where
    the origin cannot be asked, and never that a page is stale.
    """
    proof = compare(copies)
    if proof.state != UNKNOWN or not isinstance(copies.origin, Unknown) or before is not False:
        return proof
    if isinstance(copies.edge, Unknown) or copies.edge.status >= 400 or copies.edge.version:
        return proof
    cached = "cached since the deployment began" if answer.cache == "hit" else "not a cached copy"
    why = f"{cached}; {proof.why}"
    return EdgeProof(FRESH, "age", why, proof.edge)


def of_page(proof: EdgeProof | Unknown) -> EdgeProof:
    """The proof, or an unknown one with the reason why the page could not be read."""
    return EdgeProof(UNKNOWN, "", proof.why) if isinstance(proof, Unknown) else proof


def compare(copies: PageCopies) -> EdgeProof:
    """Compare the versions that the pages name, else their content."""
    edge, origin = copies.edge, copies.origin
    if isinstance(edge, Unknown):
        return EdgeProof(UNKNOWN, "", f"the edge: {edge.why}")
    if isinstance(origin, Unknown):
        return _compare_with_release(edge, origin, copies)
    first, second = origin
    return _during_rollout(
        _problem(edge, first, second)
        or _compare_versions(edge, first, second)
        or _compare_content(edge, first, second),
        rolling_out=copies.rolling_out,
    )


def _problem(edge: PageCopy, first: PageCopy, second: PageCopy) -> EdgeProof | None:
    """Why answers with these statuses cannot be compared, or the proof by status alone."""
    if first.status != second.status:
        why = f"the origin answers {first.status}, then {second.status}"
        return EdgeProof(UNKNOWN, "", why, edge, first)
    same = edge.status == first.status
    for who, copy in (("edge", edge), ("origin", first)):
        if copy.status >= 500 or (not same and _is_no_page(copy.status)):
            why = f"the {who} answers {copy.status}: there is no page to compare"
            return EdgeProof(UNKNOWN, "", why, edge, first)
    if not same:
        why = f"the edge answers {edge.status}, the origin {first.status}"
        return EdgeProof(STALE, "content", why, edge, first)
    return None


def _is_no_page(status: int) -> bool:
    """Whether this is a redirect or a refusal, which one of the two may add for the other."""
    return 300 <= status < 400 or status in (401, 403, 429)


def _compare_versions(edge: PageCopy, first: PageCopy, second: PageCopy) -> EdgeProof | None:
    """The proof by the versions that the pages name; None if one of them names none."""
    if not (edge.version and first.version and second.version):
        return None
    if first.version != second.version:
        why = f"the origin answers with version {first.version}, then {second.version}"
        return EdgeProof(UNKNOWN, "", why, edge, first)
    if edge.version == first.version:
        return EdgeProof(FRESH, "version", f"version {edge.version}, as the origin", edge, first)
    why = f"version {edge.version}, the origin's is {first.version}"
    return EdgeProof(STALE, "version", why, edge, first)


def _compare_with_release(edge: PageCopy, origin: Unknown, copies: PageCopies) -> EdgeProof:
    """The proof by the released version alone, where the origin cannot be asked."""
    if not (edge.version and copies.released) or edge.status >= 400:
        return EdgeProof(UNKNOWN, "", f"not compared with the origin: {origin.why}", edge)
    if edge.version == copies.released:
        return EdgeProof(FRESH, "version", f"version {edge.version}, the released one", edge)
    why = f"version {edge.version}, the released one is {copies.released}"
    return _during_rollout(EdgeProof(STALE, "version", why, edge), rolling_out=copies.rolling_out)


def _compare_content(edge: PageCopy, first: PageCopy, second: PageCopy) -> EdgeProof:
    """The proof by body hash, ETag and Last-Modified."""
    same = _same(edge, first), _same(edge, second)
    if True in same:
        seen = edge.identity
        return EdgeProof(FRESH, "content", f"same content as the origin ({seen})", edge, first)
    if None in same:
        encoding = next((each.encoding for each in (edge, first, second) if each.encoding), "")
        because = f" (its encoding {encoding} is not decoded here)" if encoding else ""
        why = f"the body could not be compared{because}, and no ETag or Last-Modified decides"
        return EdgeProof(UNKNOWN, "", why, edge, first)
    if _same(first, second) is not True:
        why = "the page differs at each request, also at the origin"
        return EdgeProof(UNKNOWN, "", why, edge, first)
    why = f"{edge.identity}, the origin's is {first.identity}"
    return EdgeProof(STALE, "content", why, edge, first)


def _same(one: PageCopy, other: PageCopy) -> bool | None:
    """Whether two copies have the same content; None if that cannot be decided.

    A hash of the whole body decides; of bodies that are not decoded here, equal ones are the same,
    and different ones may differ by their compression alone. Servers derive ETags from a file's
    time and size, which an image build may fix, so that they may be equal for different pages.
    """
    if one.digest is not None and other.digest is not None:
        if one.digest != other.digest or one.whole != other.whole:
            return False
        if one.whole:
            return True
    if one.encoded and (one.encoding, one.encoded) == (other.encoding, other.encoded):
        return True
    if one.etag and other.etag:
        return _opaque(one.etag) == _opaque(other.etag)
    if one.last_modified and other.last_modified:
        return one.last_modified == other.last_modified
    return None


def _opaque(etag: str) -> str:
    """An ETag for weak comparison (RFC 9110, 8.8.3.2): compression by the CDN makes it weak."""
    return etag.removeprefix("W/")


def _during_rollout(proof: EdgeProof, *, rolling_out: bool) -> EdgeProof:
    """The proof, but no page is stale while two versions answer."""
    if proof.state != STALE or not rolling_out:
        return proof
    why = f"{proof.why}, while a deployment is in progress"
    return EdgeProof(UNKNOWN, "", why, proof.edge, proof.origin)
