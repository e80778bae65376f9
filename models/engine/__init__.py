"""Engines: how documents of one model become outputs on one device."""
