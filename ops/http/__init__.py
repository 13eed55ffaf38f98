"""HTTP: client, assertions on answers, redirects, TLS chains, error translation."""
