"""Finds out by trying how a model may be decoded, and up to which length."""
