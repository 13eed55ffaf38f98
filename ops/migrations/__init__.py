"""Migrations: plan, lint, forecast, verify, adopt, snapshot."""
