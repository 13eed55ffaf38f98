"""Diagnosis: collect evidence, find causes by rules, rank them, offer fixes (runbook 7)."""
