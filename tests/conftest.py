"""Settings of the whole test run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch loads; see workers/__main__.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long an example takes says more of who else uses the machine; tests that hang have a timeout.
settings.register_profile("textmill", deadline=None)
settings.load_profile("textmill")

_IN_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 4 << 30


def _keep_files_in_memory() -> None:
    """Each commit of a ledger waits for its file system: on a disk that is most of what such a test takes.

    Containers have often 64 MB there, which is not enough: then files go where pytest puts them.
    """
    if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free > _ENOUGH_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))


_keep_files_in_memory()

# Without a GPU, Triton's kernels run through its interpreter; read when Triton itself is imported.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session", autouse=True)
def own_verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What probes find out about models is kept for this run, its processes' included, and for nobody else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
