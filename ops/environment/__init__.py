"""The configuration itself: what is in effect and why, and whether the world still agrees."""
