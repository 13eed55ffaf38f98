"""The sandbox's ECS API: services, tasks and deployments, from its own store."""
