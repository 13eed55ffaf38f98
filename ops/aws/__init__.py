"""AWS: session, error translation, facts, one module a service."""
