"""Decisions about database tasks, without I/O."""
