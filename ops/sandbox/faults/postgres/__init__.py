"""Faults of RDS and PostgreSQL: the instance's state, its network, logins and locks."""
