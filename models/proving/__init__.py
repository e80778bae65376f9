"""What is found out about a model by trying it."""
