"""How lines look on a terminal: colours, wrapping, and a sign of life during long steps."""
