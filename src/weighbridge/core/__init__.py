"""The nouns of the crossing: standard library only, no input or output."""
