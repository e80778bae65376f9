"""The engine on a GPU beside transformers and beside the roofline, in one run of a few minutes."""
