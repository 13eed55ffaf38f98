"""Causes in rollouts: taken back, without effect, or without progress."""
