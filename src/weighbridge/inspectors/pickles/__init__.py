"""Pickles, followed and never loaded."""
