"""Settings of the whole test run."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads; see workers/__main__.py
