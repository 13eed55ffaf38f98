"""Terraform: plan, apply, locks, drift, image variables."""
