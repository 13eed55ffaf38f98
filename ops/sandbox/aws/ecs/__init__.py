"""ECS as the sandbox answers it: services, tasks, deployments, from its own store."""
