"""The command line."""

import gc

# Imports make many objects and no garbage: without collections every command starts a tenth quicker.
gc.set_threshold(50_000)
