"""The sandbox's ECS scheduler and Fargate: `Agent(cloud, runtime, timing, network)`."""

from ops.sandbox.agent.agent import Agent

__all__ = ["Agent"]
