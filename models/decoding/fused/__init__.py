"""Fewer and larger kernels inside transformers' own forward, where a module is known to be what it seems."""
