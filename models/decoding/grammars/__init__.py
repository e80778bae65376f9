"""Texts that keep to a grammar: which tokens may come next, by llguidance."""
