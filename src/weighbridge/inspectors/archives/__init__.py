"""Containers: what is in them, and what hides between their members."""
