"""Where bytes come from: pinned, ranged, length-checked."""
