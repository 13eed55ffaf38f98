"""Faults on the operator's side: credentials, clock, and locks that runs left behind."""
