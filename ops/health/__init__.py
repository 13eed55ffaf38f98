"""Health checks: probes, sweeps, comparisons before and after a change, history, live view."""
