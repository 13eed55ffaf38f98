"""Collectors: read-only functions that each return one document of a snapshot."""
