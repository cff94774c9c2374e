"""What an organisation answers for: policy judges, people approve, channels point."""
