"""What is looked for in content of any format: malware and secrets."""
