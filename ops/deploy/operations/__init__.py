"""Living with a service: watch a deployment in flight, restart, scale."""
