"""A safer file in place of a dangerous one, and the proof of what changed."""
