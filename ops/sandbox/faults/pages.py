"""Faults of single pages, injected at the edge: errors, delays, content types, stale copies.

Emulates mistakes of an application and of a distribution. Differs from them: the edge causes the
fault, so the task itself is unaffected and writes no log line.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass

from ops.core.errors import Refused
from ops.sandbox.edge import fault_injection
from ops.sandbox.edge.cdn import CachedObject as Object
from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles

_OLD = "0ld9e5a"  # a version that no commit of the sample has
AGE, LIFE = 5400.0, 86_400.0


@dataclass(frozen=True)
class PageFault(FaultInjector):
    """A fault of one page; its cached copy is dropped so that viewers see the fault."""

    path: str

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        for layer in ("target", "cdn"):
            handles.edge_faults.set(layer, self.path, None)
        handles.cdn.forget(self.path)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, self.path) == 200


@dataclass(frozen=True)
class FailingPage(PageFault):
    """The application answers 500."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.edge_faults.set("target", self.path, fault_injection.failing)
        handles.cdn.forget(self.path)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, self.path) == 500


@dataclass(frozen=True)
class SlowPage(PageFault):
    """The application takes `seconds` to answer correctly."""

    seconds: float

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.edge_faults.set("target", self.path, fault_injection.slow(self.seconds))
        handles.cdn.forget(self.path)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        began = time.monotonic()
        return (
            probes.status(handles, self.path, self.seconds + 5) == 200
            and time.monotonic() - began >= self.seconds
        )


@dataclass(frozen=True)
class HangingPage(PageFault):
    """The application does not answer for `seconds`; then the load balancer times out."""

    seconds: float
    patience: float = 0.5  # seconds after which it counts as seen

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        over = handles.stop_events[self.path] = threading.Event()
        handles.edge_faults.set("target", self.path, fault_injection.hanging(self.seconds, over))
        handles.cdn.forget(self.path)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.page(handles, self.path, self.patience) is None

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        super().remove(handles, state)
        handles.stop_events.pop(self.path, threading.Event()).set()


@dataclass(frozen=True)
class WrongContentType(PageFault):
    """The distribution sends the right body with the wrong content type."""

    kind: str

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.edge_faults.set("cdn", self.path, fault_injection.with_content_type(self.kind))
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = probes.page(handles, self.path)
        return found is not None and found[1].getheader("Content-Type") == self.kind

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, self.path) == 200 and not self.is_visible(handles, state)


@dataclass(frozen=True)
class StalePage(PageFault):
    """The distribution caches the page of an earlier version until it is invalidated."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.cdn.forget(self.path)
        found = probes.page(handles, self.path)
        if found is None or found[0] != 200:
            raise Refused(
                f"a stale {self.path}",
                "the origin does not answer 200, so there is nothing to cache",
                "inv sandbox.mend --all",
            )
        answer, now = found[1], time.time()
        body = re.sub(
            rb"(version |name=\"version\" content=\")[0-9a-zA-Z.-]+",
            rb"\g<1>" + _OLD.encode(),
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
        handles.cdn.plant(
            self.path, Object(200, "OK", headers, body, now - AGE, now + LIFE, planted=now)
        )
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        shown = handles.cdn.lookup(self.path)
        return shown is not None and _OLD.encode() in shown.body

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = probes.page(handles, self.path)
        return (
            found is not None
            and _OLD.encode() in found[2]
            and (found[1].getheader("X-Cache") or "").startswith("Hit")
        )
