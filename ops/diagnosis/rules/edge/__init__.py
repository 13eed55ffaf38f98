"""Causes between the viewer and the tasks: CDN, listeners, target groups, ports.

Each module registers its causes when it is imported.
"""

from ops.diagnosis.rules.edge import (
    balancer,  # noqa: F401
    caching,  # noqa: F401
    health_checks,  # noqa: F401
    listeners,  # noqa: F401
    origin,  # noqa: F401
    ports,  # noqa: F401
)
