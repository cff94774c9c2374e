"""One module for each group of commands; heavy libraries are imported inside them."""
