"""Batch engines: one per task, on transformers' model classes."""
