"""Models that never crossed the bridge: where they lie, what they are, and whether they are known under another name."""
