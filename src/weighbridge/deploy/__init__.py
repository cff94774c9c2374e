"""What runs approved revisions: planned, rendered, linted, applied; every engine reads the private side only."""
