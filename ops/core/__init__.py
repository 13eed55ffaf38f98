"""Errors, settings, plans and their application, findings, redaction, terminal output."""
