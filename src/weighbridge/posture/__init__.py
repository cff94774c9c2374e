"""What would be risked from the Hub, and what from the bucket: measured evidence, judged question by question, side by side."""
