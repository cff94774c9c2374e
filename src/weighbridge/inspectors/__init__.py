"""One question each about the bytes of a model; they never fetch and never store."""
