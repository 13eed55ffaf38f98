"""Pages that fail, are late, hang, come as something else, or are not the newest: done at the edge,
seen by every viewer.

Emulates mistakes of an application and of a distribution. Differs from them: the edge does it, so
the task itself knows nothing of it and writes no log line."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass

from ops.core.errors import Refused
from ops.sandbox.edge import fault_injection
from ops.sandbox.edge.cdn import Kept as Object
from ops.sandbox.faults import probes
from ops.sandbox.faults.base import Ground, Kept, Work

OLD = "0ld9e5a"  # a version that no commit of the sample has
AGE, LIFE = 5400.0, 86_400.0


@dataclass(frozen=True)
class Page(Work):
    """One page goes another way; what is cached of it is dropped, or no viewer would see it."""

    path: str

    def end(self, ground: Ground, kept: Kept) -> None:
        for layer in ("target", "cdn"):
            ground.weather.turn(layer, self.path, None)
        ground.cdn.forget(self.path)

    def well(self, ground: Ground, kept: Kept) -> bool:
        return probes.status(ground, self.path) == 200


@dataclass(frozen=True)
class Failing(Page):
    """The application answers 500."""

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.weather.turn("target", self.path, fault_injection.failing)
        ground.cdn.forget(self.path)
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        return probes.status(ground, self.path) == 500


@dataclass(frozen=True)
class Slow(Page):
    """The application takes `seconds` for the right answer."""

    seconds: float

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.weather.turn("target", self.path, fault_injection.slow(self.seconds))
        ground.cdn.forget(self.path)
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        began = time.monotonic()
        return (
            probes.status(ground, self.path, self.seconds + 5) == 200
            and time.monotonic() - began >= self.seconds
        )


@dataclass(frozen=True)
class Hanging(Page):
    """The application does not answer for `seconds`; then the load balancer gives up."""

    seconds: float
    patience: float = 0.5  # seconds after which it counts as seen

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        over = ground.ended[self.path] = threading.Event()
        ground.weather.turn("target", self.path, fault_injection.hanging(self.seconds, over))
        ground.cdn.forget(self.path)
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        return probes.page(ground, self.path, self.patience) is None

    def end(self, ground: Ground, kept: Kept) -> None:
        super().end(ground, kept)
        ground.ended.pop(self.path, threading.Event()).set()


@dataclass(frozen=True)
class Mistyped(Page):
    """The distribution calls the right body something else."""

    kind: str

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.weather.turn("cdn", self.path, fault_injection.typed(self.kind))
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        found = probes.page(ground, self.path)
        return found is not None and found[1].getheader("Content-Type") == self.kind

    def well(self, ground: Ground, kept: Kept) -> bool:
        return probes.status(ground, self.path) == 200 and not self.is_visible(ground, kept)


@dataclass(frozen=True)
class Stale(Page):
    """The distribution still keeps the page of an earlier version; an invalidation takes it
    away.
    """

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.cdn.forget(self.path)
        found = probes.page(ground, self.path)
        if found is None or found[0] != 200:
            raise Refused(
                f"a stale {self.path}",
                "the origin does not answer 200, so there is nothing to keep",
                "inv sandbox.mend --all",
            )
        answer, now = found[1], time.time()
        body = re.sub(
            rb"(version |name=\"version\" content=\")[0-9a-zA-Z.-]+",
            rb"\g<1>" + OLD.encode(),
            found[2],
        )
        made = {
            "content-type": answer.getheader("Content-Type") or "text/html",
            "content-length": str(len(body)),
        }
        headers = (
            *((name.title(), value) for name, value in made.items()),
            ("Cache-Control", answer.getheader("Cache-Control") or ""),
        )
        ground.cdn.plant(
            self.path, Object(200, "OK", headers, body, now - AGE, now + LIFE, planted=now)
        )
        return {}

    def there(self, ground: Ground, kept: Kept) -> bool:
        shown = ground.cdn.lookup(self.path)
        return shown is not None and OLD.encode() in shown.body

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        found = probes.page(ground, self.path)
        return (
            found is not None
            and OLD.encode() in found[2]
            and (found[1].getheader("X-Cache") or "").startswith("Hit")
        )
