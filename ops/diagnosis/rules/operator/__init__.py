"""Causes on the operator's side: access to AWS, and locks that runs left behind."""
