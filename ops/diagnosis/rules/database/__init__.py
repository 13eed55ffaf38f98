"""Causes in the database: the RDS instance, its network, its clients, and what blocks them."""
