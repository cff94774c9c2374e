"""Parts that tests, demonstrations and benchmarks share; nothing here is shipped."""
