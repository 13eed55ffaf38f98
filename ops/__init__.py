"""A deployment runbook for ECS Fargate, ECR, Terraform and PostgreSQL, as Invoke tasks."""

__version__ = "0.1.0"
