"""An environment with what acts on it: settings, AWS session, Docker engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ops.aws.session import AwsSession
    from ops.core.config.settings import Settings
    from ops.tools.docker import Engine

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING


@dataclass(frozen=True)
class Platform:
    """One environment with its doors: AWS, and the Docker engine, which is connected to when it is
    first used.
    """

    settings: Settings
    cloud: AwsSession

    @classmethod
    def of(cls, settings: Settings) -> Platform:
        """The environment's doors; nothing is sent yet. Raises ConfigError (no such profile; an
        overlay without endpoint or keys).
        """
        from ops.aws import session

        return cls(settings, session.connect(settings))

    @cached_property
    def engine(self) -> Engine:
        """Raises Unreachable where no engine answers."""
        from ops.tools import docker

        return docker.connect(self.settings.environment.engine)
