"""`python -m models.installing`: proves one model and writes what it found, or why not, as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from models.errors import ModelError
from models.installing.proof import prove
from models.loading.device import prepare_device


def main() -> int:
    """Exit code 0 with what was found in the report, 1 with `error` in it."""
    options = _options()
    logging.basicConfig(level="WARNING")
    try:
        found = prove(
            options.folder,
            prepare_device(options.device),
            name=options.name,
            task=options.task,
            dtype=options.dtype,
            gguf=options.gguf,
            defaults=json.loads(options.defaults),
        )
    except (ModelError, OSError) as error:  # a full disk, most likely
        found = {"error": str(error)}
    options.report.write_text(json.dumps(found, default=str), encoding="utf-8")
    return int("error" in found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.installing", description="Proves one model.")
    parser.add_argument("folder", type=Path, help="its files, or where to write them")
    parser.add_argument("--report", type=Path, required=True, help="where to write what was found")
    parser.add_argument("--name", required=True)
    parser.add_argument("--task")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gguf", type=Path, help="a GGUF file to make its files of")
    parser.add_argument("--defaults", default="{}", help="generation settings, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
