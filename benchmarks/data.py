"""The folder of texts that models are measured on."""

from __future__ import annotations

import sys
from pathlib import Path


def is_there(folder: Path) -> bool:
    """Whether it is; says on standard error what to do where it is not."""
    if not folder.is_dir():
        sys.stderr.write(f"error: there is no data folder {folder}; name it with --data (make: DATA=)\n")
    return folder.is_dir()
