"""Documents to pieces and back, for all tasks."""
