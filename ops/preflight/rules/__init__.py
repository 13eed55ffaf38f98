"""Preflight checks: pure functions of the facts of a release."""
