"""Watches where models came from: what changed upstream, what that means, and who is told."""
