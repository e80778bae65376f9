"""Tiny random models of many architectures, each checked beside transformers: alone, and in company."""

import os

# Before torch loads: threads that spin while they wait take a core each. See workers/__main__.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
