"""Attention over pages: what the models call, and a file for each way of computing it."""
