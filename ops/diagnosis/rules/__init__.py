"""Rules: pure functions from an incident to the causes that its evidence supports."""
