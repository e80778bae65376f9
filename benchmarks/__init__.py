"""Measurements: each prints a table and one JSON line, its baselines in the same run."""
