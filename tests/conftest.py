"""Settings of the whole test run."""

import os

# Before torch loads; see workers/__main__.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
