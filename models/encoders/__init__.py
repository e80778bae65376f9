"""Models that read a text in one pass and score it."""
