"""The undertakings: gather, decide, apply, look again; one file each."""
