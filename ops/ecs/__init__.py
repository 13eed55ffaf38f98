"""ECS: watch a deployment, observe tasks, status."""
