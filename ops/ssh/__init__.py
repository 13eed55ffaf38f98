"""SSH: connection, host keys, port forwarding, error translation."""
