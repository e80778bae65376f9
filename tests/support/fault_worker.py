"""`python -m tests.support.fault_worker`: the real worker process around `FaultEngine`."""

from __future__ import annotations

import sys

from tests.support.fault_engine import FaultEngine
from workers.__main__ import main

if __name__ == "__main__":
    sys.exit(main(build=FaultEngine))
