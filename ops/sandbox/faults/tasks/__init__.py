"""Faults that keep new tasks of a service from starting, or from staying."""
