"""Pictures of the program at work, for the documentation."""
