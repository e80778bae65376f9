"""Proves a model that is about to be installed, in a process of its own: `python -m models.installing`."""
