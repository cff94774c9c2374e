"""What was seen, signed."""
