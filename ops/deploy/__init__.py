"""Deploys: plan, roll out, watch, verify, undo."""
