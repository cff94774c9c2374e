"""What changed between two revisions, by meaning, and how much each change weighs."""
