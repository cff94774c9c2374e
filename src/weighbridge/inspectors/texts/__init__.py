"""Configurations, tokenizers, cards and other texts."""
