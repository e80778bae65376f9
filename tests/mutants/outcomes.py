"""What became of each mutant, kept as it comes so that a run that is cut loses nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """One mutant, by mutmut's name."""

    name: str
    status: str  #: noticed, timeout, crashed, survived, no tests
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def is_noticed(self) -> bool:
        return self.status in ("noticed", "timeout", "crashed")


class Outcomes:
    """A file of lines, one for each mutant tried; the last one of a mutant counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, outcome: Outcome) -> None:
        """Appends it."""
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def all(self) -> dict[str, Outcome]:
        """By the mutants' names."""
        if not self._path.exists():
            return {}
        read = (Outcome(**json.loads(line)) for line in self._path.read_text().splitlines())
        return {outcome.name: outcome for outcome in read}
