"""Redaction: known secrets by value, then secrets by shape."""
