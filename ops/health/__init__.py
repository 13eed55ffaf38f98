"""Health: probes, sweep, before and after, history, live view."""
