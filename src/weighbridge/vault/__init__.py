"""Sealed revisions at rest: their records, read only through the seal, and their bytes, proven again."""
