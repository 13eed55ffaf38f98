"""One door per outside thing. Errors from outside are translated here; what comes back is frozen (`ops.model`, `ops.facts`)."""
