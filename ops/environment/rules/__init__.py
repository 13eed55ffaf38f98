"""Comparisons of the configuration with facts: pure functions."""
