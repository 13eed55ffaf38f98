"""Revision files: load, check, and run them as user code."""
