"""An environment with its clients: settings, AWS session, Docker engine."""

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
    """An environment with its AWS session, and its Docker engine, connected on first use."""

    settings: Settings
    cloud: AwsSession

    @classmethod
    def of(cls, settings: Settings) -> Platform:
        """The platform of an environment; sends nothing yet.

        Raises ConfigError for a missing profile, or an overlay without endpoint or keys.
        """
        from ops.aws import session

        return cls(settings, session.connect(settings))

    @cached_property
    def engine(self) -> Engine:
        """The Docker engine. Raises Unreachable if it does not answer."""
        from ops.tools import docker

        return docker.connect(self.settings.environment.engine)
