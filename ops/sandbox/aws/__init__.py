"""The sandbox's AWS: `serve(ports, timing)` starts the endpoint; what it returns carries the doors
for registry, edge and agent.
"""

from ops.sandbox.aws.server import Aws, Cloud, serve

__all__ = ["Aws", "Cloud", "serve"]
