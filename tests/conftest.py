"""Settings of the whole test run."""

import os

from hypothesis import settings

# Before torch loads; see workers/__main__.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long an example takes says more of who else uses the machine; tests that hang have a timeout.
settings.register_profile("textmill", deadline=None)
settings.load_profile("textmill")
