"""What was found, for people and for tools: JSON, SARIF, Markdown, HTML, and what was accepted."""
