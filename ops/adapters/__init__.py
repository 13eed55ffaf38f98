"""One door per outside thing; each translates that thing's errors into ours and returns our frozen dataclasses."""
