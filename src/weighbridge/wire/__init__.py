"""One HTTP exchange at a time: pooled, bounded, typed."""
