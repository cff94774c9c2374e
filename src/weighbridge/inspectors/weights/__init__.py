"""Files of plain tensors: every byte a header or a number."""
