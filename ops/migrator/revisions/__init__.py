"""Revision files: read, checked, run as user code."""
