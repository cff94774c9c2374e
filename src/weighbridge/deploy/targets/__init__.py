"""What each target is told: from an approved revision and options to a plan with its files."""
