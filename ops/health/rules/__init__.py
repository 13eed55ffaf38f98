"""Health rules: pure functions from facts to checks."""
