"""Reach the database by a one-off ECS task (`database.run: task`): reads and migrations."""
