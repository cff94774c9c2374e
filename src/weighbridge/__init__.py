"""Weighbridge: every weight that comes in crosses one bridge, and shows it."""

__version__ = "0.1.0"
