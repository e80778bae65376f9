"""Settings of the whole test run."""

import os
from pathlib import Path

from hypothesis import settings

# Before torch loads; see workers/__main__.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long an example takes says more of who else uses the machine; tests that hang have a timeout.
settings.register_profile("textmill", deadline=None)
settings.load_profile("textmill")

# Without a GPU, Triton's kernels run through its interpreter; read when Triton itself is imported.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
