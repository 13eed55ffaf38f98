"""The engine in a one-off ECS task: messages by S3 instead of a connection."""
