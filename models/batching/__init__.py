"""Models and documents that are computed batch by batch, each from beginning to end."""
