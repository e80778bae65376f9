"""What the console's routes share, built once per app."""

from __future__ import annotations

from dataclasses import dataclass

from api.console.feed import Feed
from api.console.sessions import Sessions
from api.console.throughput import Throughput
from jobs.store.ledger_view import LedgerView


@dataclass(frozen=True, kw_only=True)
class Console:
    """The parts of the console."""

    view: LedgerView
    feed: Feed
    throughput: Throughput
    sessions: Sessions | None  #: None: keys are off
