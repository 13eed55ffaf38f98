"""The pre-deployment checklist: read the facts, check them."""
