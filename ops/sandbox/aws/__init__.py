"""The sandbox's AWS endpoint: `serve(ports, timing)` starts it.

The result also holds the backends for registry, edge and agent.
"""

from ops.sandbox.aws.server import Aws, Cloud, serve

__all__ = ["Aws", "Cloud", "serve"]
