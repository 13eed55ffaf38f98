"""A CloudFront distribution before the load balancer: caching and invalidations.

Emulated (CloudFront developer guide, "Manage how long content stays in the cache"): answers of 200
to GET under a caching behaviour are cached for `s-maxage`, else `max-age`, else `Expires`, else the
default TTL; `no-store`, `no-cache`, `private` and `Set-Cookie` are not cached, unless the behaviour
has a minimum TTL; an origin whose name, port or certificate is wrong: 502; `x-cache`, `age`, `via`,
`x-amz-cf-*` headers; an invalidation takes effect at its completion. Differs from AWS: one edge
location (AWS has hundreds, each with its own copy), errors are never cached (AWS: 10 s), an expired
object is fetched again (AWS revalidates, `RefreshHit`), `Vary` and compression are ignored, the
cache key is path and query, all methods pass, objects over 1 MiB are not cached.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http.client import HTTPException, responses

from ops.sandbox.contracts import EdgeConfiguration, LoadBalancerBackend
from ops.sandbox.edge.fault_injection import EdgeFaults
from ops.sandbox.edge.http_server import Headers, Request, Response, header, plain
from ops.sandbox.edge.origin import Timeouts, exchange

_OBJECT = 1 << 20  # maximum bytes of a cached object
_OBJECTS = 512  # maximum number of objects, least recently used dropped first
_POP = "IAD89-C1"
_VIA = "1.1 sandbox.cloudfront.net (CloudFront)"
_CONDITIONAL = frozenset(
    {
        "if-none-match",
        "if-modified-since",
        "if-match",
        "if-unmodified-since",
        "if-range",
        "accept-encoding",
    }
)


@dataclass(frozen=True)
class CachedObject:
    """One object in the cache; times in epoch seconds.

    `planted`: the time from which invalidations apply, if not `stored`.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes
    stored: float
    until: float
    planted: float | None = None


def lifetime(headers: Headers, default: float, now: float) -> float:
    """Return the seconds for which an answer may be cached; 0 for not at all."""
    said = header(headers, "cache-control") or ""
    directives = dict(_directive(part) for part in said.split(",") if part.strip())
    if (
        directives.keys() & {"no-store", "no-cache", "private"}
        or header(headers, "set-cookie") is not None
    ):
        return 0.0
    for name in ("s-maxage", "max-age"):
        if directives.get(name, "").isdigit():
            return float(directives[name])
    expires = header(headers, "expires")
    if expires is not None:
        try:
            return max(0.0, parsedate_to_datetime(expires).timestamp() - now)
        except ValueError:
            return 0.0  # RFC 9111, 5.3: an invalid date is in the past
    return default


def _directive(part: str) -> tuple[str, str]:
    name, _, value = part.strip().partition("=")
    return name.lower(), value.strip('"')


def covers(pattern: str, target: str) -> bool:
    """Whether an invalidation of `pattern` covers `target` (path and query).

    True if they are equal, or if `target` starts with the text before a final `*`.
    """
    wanted = pattern if pattern.startswith("/") else "/" + pattern
    return target.startswith(wanted[:-1]) if wanted.endswith("*") else target == wanted


def over_tls(request: Request) -> Request:
    """Return the request as received by the HTTPS site."""
    kept = tuple(
        each for each in request.headers if each[0].lower() != "cloudfront-forwarded-proto"
    )
    return replace(request, headers=(*kept, ("CloudFront-Forwarded-Proto", "https")))


class Cdn:
    """The handler of the distribution's site."""

    def __init__(
        self,
        backend: LoadBalancerBackend,
        origin_port: int,
        origin_timeout: float,
        default_ttl: float,
        edge_faults: EdgeFaults | None = None,
        configuration: EdgeConfiguration | None = None,
    ) -> None:
        self._backend = backend
        self._configuration = configuration or EdgeConfiguration()
        self._port = origin_port
        self._timeouts = Timeouts(2.0, origin_timeout)
        self._default_ttl = default_ttl
        self._edge_faults = edge_faults or EdgeFaults()
        self._objects: OrderedDict[str, CachedObject] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Response | None:
        cacheable = (
            request.method in ("GET", "HEAD")
            and request.header("Range") is None
            and self._backend.cached(request.path)
        )
        if not cacheable:
            return self._labelled(self._fetch(request, request.headers))
        now = time.time()
        kept = self._lookup(request.target, now)
        if kept is not None:
            return self._hit(kept, now)
        plainly = tuple(
            (name, value) for name, value in request.headers if name.lower() not in _CONDITIONAL
        )
        answer = self._fetch(request, plainly)
        if request.method == "GET" and answer.status == 200:
            answer = self._keep(request.target, answer, now)
        return self._labelled(answer)

    def _fetch(self, request: Request, headers: Headers) -> Response:
        problem = self._configuration.origin_problem(request.path)
        if problem is not None:
            reason = responses[problem.status]
            return plain(problem.status, reason, problem.why, server="CloudFront")
        through = (*headers, ("Via", _VIA), ("X-Amz-Cf-Id", uuid.uuid4().hex))
        before = request.header("X-Forwarded-For")
        through = tuple(
            (name, value) for name, value in through if name.lower() != "x-forwarded-for"
        )
        through = (
            *through,
            ("X-Forwarded-For", f"{before}, {request.client}" if before else request.client),
        )
        try:
            return self._edge_faults.apply(
                "cdn",
                request.path,
                lambda: exchange("127.0.0.1", self._port, request, through, self._timeouts),
            )
        except TimeoutError as exc:
            return plain(504, "Gateway Timeout", f"origin {exc}", server="CloudFront")
        except (OSError, HTTPException) as exc:
            return plain(
                502, "Bad Gateway", f"origin {type(exc).__name__} {exc}", server="CloudFront"
            )

    def forget(self, pattern: str) -> None:
        """Drop the cached objects that match `pattern`, as if they had expired."""
        with self._lock:
            for target in [each for each in self._objects if covers(pattern, each)]:
                del self._objects[target]

    def plant(self, target: str, kept: CachedObject) -> None:
        """Cache this object for `target`, whatever the origin serves."""
        with self._lock:
            self._objects[target] = kept

    def lookup(self, target: str) -> CachedObject | None:
        """Return the cached object for `target`, or None if the origin must be asked."""
        return self._lookup(target, time.time())

    def _lookup(self, target: str, now: float) -> CachedObject | None:
        with self._lock:
            kept = self._objects.get(target)
        if kept is None:
            return None
        since = kept.stored if kept.planted is None else kept.planted
        gone = any(
            since <= done <= now and covers(pattern, target)
            for pattern, done in self._backend.invalidations()
        )
        with self._lock:
            if gone or kept.until <= now:
                self._objects.pop(target, None)
                return None
            if target in self._objects:
                self._objects.move_to_end(target)
        return kept

    def _keep(self, target: str, answer: Response, asked: float) -> Response:
        """Cache `answer` if allowed, dated at its request.

        An invalidation that completed in between therefore applies to it.
        """
        seconds = max(
            lifetime(answer.headers, self._default_ttl, asked),
            self._configuration.minimum_ttl(target.partition("?")[0]),
        )
        size = header(answer.headers, "content-length") or ""
        if seconds <= 0 or not size.isdigit() or int(size) > _OBJECT:
            return answer
        try:
            body = b"".join(answer.body)
        except (OSError, HTTPException) as exc:
            return plain(502, "Bad Gateway", f"origin {exc}", server="CloudFront")
        finally:
            answer.close()
        with self._lock:
            self._objects[target] = CachedObject(
                answer.status, answer.reason, answer.headers, body, asked, asked + seconds
            )
            while len(self._objects) > _OBJECTS:
                self._objects.popitem(last=False)
        return replace(answer, body=(body,))

    def _hit(self, kept: CachedObject, now: float) -> Response:
        headers = (
            *kept.headers,
            ("Age", str(int(now - kept.stored))),
            ("X-Cache", "Hit from cloudfront"),
            *self._marks(),
        )
        return Response(kept.status, kept.reason, headers, (kept.body,), note="hit")

    def _labelled(self, answer: Response) -> Response:
        said = "Error from cloudfront" if answer.status >= 400 else "Miss from cloudfront"
        return replace(
            answer,
            headers=(*answer.headers, ("X-Cache", said), *self._marks()),
            note=answer.note or said.split()[0].lower(),
        )

    def _marks(self) -> Headers:
        return (("Via", _VIA), ("X-Amz-Cf-Pop", _POP), ("X-Amz-Cf-Id", uuid.uuid4().hex))
