"""Faults between the viewer and the tasks, and of rollouts."""
