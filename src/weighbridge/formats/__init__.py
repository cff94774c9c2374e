"""Bounded readers of model file formats that never execute what they read."""
