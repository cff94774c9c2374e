"""Formats that carry a graph: operators, layers, and what they reach."""
