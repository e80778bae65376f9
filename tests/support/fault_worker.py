"""`python -m tests.support.fault_worker`: the real worker process around engines without models."""

from __future__ import annotations

import sys

from models.engine import Engine
from models.records import ModelSpec
from tests.support.fault_engine import FaultEngine
from tests.support.talking_engine import TalkingEngine
from workers.__main__ import main


def build(spec: ModelSpec) -> Engine:
    """Generation talks; everything else does what its texts say."""
    return TalkingEngine(spec) if spec.task == "generation" else FaultEngine(spec)


if __name__ == "__main__":
    sys.exit(main(build=build))
