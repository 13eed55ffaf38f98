"""The topics of `troubleshoot.*`: what a person asks about. Every topic collects everything."""

from __future__ import annotations

from dataclasses import dataclass

from ops.diagnosis.model import Diagnosed
from ops.diagnosis.rules.causes import LAYERS, Layer, layer_of


@dataclass(frozen=True)
class Topic:
    """A problem of the runbook's section 7, and the layers in which its causes are."""

    title: str
    layers: tuple[Layer, ...] = LAYERS

    @property
    def everything(self) -> bool:
        return self.layers == LAYERS

    def covers(self, found: Diagnosed) -> bool:
        return layer_of(found.cause) in self.layers


ALL = Topic("everything")
TASKS = Topic(
    "tasks that fail to start",
    ("capacity", "network", "image", "secret", "role", "container", "release", "target", "log"),
)
GATEWAY = Topic("502, 503 and 504", ("target", "balancer", "network", "container", "page"))
STALE = Topic("stale content", ("cdn", "release"))
DATABASE = Topic("the database", ("database", "secret"))
LOCK = Topic("locks", ("lock",))
