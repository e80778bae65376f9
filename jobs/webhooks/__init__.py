"""Telling others that a job has ended: what is sent, when it is tried again, and where it may go."""
