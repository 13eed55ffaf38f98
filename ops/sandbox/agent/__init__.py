"""The sandbox's ECS scheduler and Fargate: `Agent(cloud, runtime, timing, network)` looks after the
AWS endpoint's services.
"""

from ops.sandbox.agent.agent import Agent

__all__ = ["Agent"]
