"""Measures weighbridge against named peers and against physical floors, in the same run on the same machine."""
