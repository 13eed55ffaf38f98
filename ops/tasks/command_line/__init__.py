"""The command line itself: its errors, lists, help and completion."""
