"""Celery edge: takes slices, feeds the device loop, settles outcomes."""
