"""One pass of the model's own forward over packed tokens."""
