"""What is served: each model with how it stands, how it was proven and what it is like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.console.job_list import Link
from api.console.job_view import TASKS
from jobs.catalogue import Catalogue
from jobs.records import Task
from jobs.serving import Standing

ADDRESS = "/console/models"
_SHOWN_OF_REVISION = 12
_SHOWN_NAMES = 6
_UNITS = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k"))


@dataclass(frozen=True)
class Proof:
    """A line about how much a model can be trusted."""

    text: str
    kind: str = "ok"  #: an icon, which is also a class


@dataclass(frozen=True)
class ModelCard:
    """A served model."""

    standing: Standing
    is_default: bool

    @property
    def name(self) -> str:
        """As requests name it."""
        return self.standing.entry.name

    @property
    def facts(self) -> Mapping[str, Any]:
        """As its worker tells them."""
        return self.standing.facts

    @property
    def task(self) -> str:
        """As the API has it."""
        return self.standing.entry.task.value

    @property
    def task_word(self) -> str:
        """For people."""
        return TASKS[self.task]

    @property
    def is_warm(self) -> bool:
        """Whether a worker has it loaded."""
        return any(self.name in beat.warm_models for beat in self.standing.beats)

    @property
    def status(self) -> tuple[str, str]:
        """Class and word."""
        if self.standing.error is not None:
            return "failed", "Cannot be loaded"
        if not self.standing.beats:
            return "attention", "No worker"
        return ("completed", "Warm") if self.is_warm else ("queued", "Loads when asked")

    @property
    def size(self) -> str:
        """How many parameters it has."""
        count = self.facts.get("parameters")
        if not isinstance(count, int):
            return ""
        unit, name = next(((unit, name) for unit, name in _UNITS if count >= unit), (1, ""))
        return f"{count / unit:.3g} {name}".strip()

    @property
    def proofs(self) -> list[Proof]:
        """How it was found out that it answers rightly, and what is in the way of that."""
        if self.standing.error is not None:
            return [Proof(self.standing.why_not or self.standing.error, "bad")]
        facts = self.facts
        if not facts:
            return [Proof("Nothing is known of it before a worker has loaded it.", "info")]
        found = [Proof(self._proven)] if facts.get("proven") else []
        found += [Proof("Scores are the same bytes in any company")] if facts.get("keeps_bytes") else []
        found += [Proof(str(facts["why"]), "warn")] if facts.get("why") else []
        revision = str(facts.get("revision") or "").removeprefix("sha256:")[:_SHOWN_OF_REVISION]
        return found + ([Proof(f"Weights known by their digest, {revision}", "info")] if revision else [])

    @property
    def _proven(self) -> str:
        tokens = self.facts.get("proven_tokens")
        upto = f", up to {tokens:,} tokens" if isinstance(tokens, int) else ""
        return f"Compared with transformers' own answers when it was loaded: the same{upto}"

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What it is like."""
        facts = self.facts
        pairs = (
            ("Computed by", facts.get("decoded_by")), ("Architecture", facts.get("architecture")),
            ("Labels", _listed(facts.get("labels"))), ("Languages", _languages(facts)),
        )  # fmt: skip
        return [(name, str(value)) for name, value in pairs if value]

    @property
    def devices(self) -> list[str]:
        """Where it is served."""
        return sorted({beat.device for beat in self.standing.beats})


@dataclass(frozen=True)
class ModelsPage:
    """All of them, or those of a task."""

    cards: list[ModelCard]
    task: Task | None

    @property
    def shown(self) -> list[ModelCard]:
        """Those of the chosen task."""
        return [card for card in self.cards if self.task is None or card.standing.entry.task is self.task]

    @property
    def headline(self) -> str:
        """How many there are, and how many answer at once."""
        warm = sum(card.is_warm for card in self.cards)
        served = sum(card.standing.is_served for card in self.cards)
        return f"{len(self.cards):,} listed, {served:,} served, {warm:,} warm"

    @property
    def chips(self) -> list[Link]:
        """Tasks to choose."""
        counts = {task: sum(card.standing.entry.task is task for card in self.cards) for task in Task}
        links = [Link("All", ADDRESS, is_on=self.task is None, count=len(self.cards))]
        return links + [
            Link(TASKS[task.value], f"{ADDRESS}?task={task}", is_on=task is self.task, count=count)
            for task, count in counts.items()
            if count
        ]


def models_page(catalogue: Catalogue, models: Mapping[str, Standing], task: Task | None) -> ModelsPage:
    """From how the models stand."""
    cards = [
        ModelCard(standing, catalogue.default(standing.entry.task) is standing.entry)
        for standing in models.values()
    ]
    return ModelsPage(cards, task)


def _listed(names: Any) -> str:
    if not isinstance(names, list | tuple):
        return ""
    shown = ", ".join(str(name) for name in names[:_SHOWN_NAMES])
    return shown + (f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else "")


def _languages(facts: Mapping[str, Any]) -> str:
    pair = facts.get("language_pair")
    if pair:
        return str(pair).replace("-", " to ")
    return _listed(facts.get("target_languages") or facts.get("languages"))
