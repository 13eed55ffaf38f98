"""The tasks: each parses its options, calls one function and reports its result."""
