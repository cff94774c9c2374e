"""The inside: what is approved, handed out in the words of the Hub, and nothing else."""
