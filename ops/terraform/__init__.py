"""Terraform: plan, apply, state locks, drift, image variables."""
