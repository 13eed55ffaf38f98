"""The front doors: each parses, calls one flow and prints; nothing else happens here."""
