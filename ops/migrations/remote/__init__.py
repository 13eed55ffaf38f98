"""Migrations that run on the bastion, seen from this side."""
