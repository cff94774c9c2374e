"""One pass over the bytes, and the audit of it."""
