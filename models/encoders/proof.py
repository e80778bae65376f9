"""Finds the fastest way that gives a text the same scores in company as alone.

Convolutions, Fourier transforms and pooling see padding; some models pad on the left, or
look for another padding than their tokenizer's; windows and blocks change what a longer
text sees. So it is tried when a model is loaded, as it is and with each window that its
configuration names made small.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch

from models.encoders.forward import Padding
from models.encoders.trial import SHORT, EncoderTrial, Subject
from models.encoders.vocabulary import paddings
from models.proving.switches import Switch, find_switches

logger = logging.getLogger(__name__)

#: Windows of a trial. The second shows that it is read where it was changed: the scores must differ.
_SMALL, _OTHER = 4, 8
#: What a trial of the model as it is may cost, in products of a parameter and a token, when another
#: has tried the same code: about two seconds.
_CPU_WORK, _GPU_WORK = 5e10, 1e13


class Way(StrEnum):
    """How rows are computed together, the fastest first."""

    BATCHES = "batches"
    EQUAL_LENGTHS = "batches of equal length"
    ALONE = "one at a time"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was found out."""

    way: Way
    padding: Padding
    proven_tokens: int | None = None  #: longer rows are computed alone; None: the way holds for all
    draws: bool = False  #: the model draws random numbers
    why: str | None = None  #: why not by the fastest way

    def as_verdict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def of_verdict(cls, verdict: Mapping[str, Any]) -> Proof:
        """What was kept as a verdict."""
        values = {**verdict, "way": Way(verdict["way"]), "padding": Padding(**verdict["padding"])}
        return cls(**values)


def prove(subject: Subject) -> Proof:
    """Tries the ways from the fastest on."""
    return _Prover(subject).proof()


class _Prover:
    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._limit: int | None = None  #: tokens up to which rows were tried
        crossing = list(self._crossing_trials())
        self._trials = [*self._plain_trial(is_needed=not crossing), *crossing]

    def proof(self) -> Proof:
        for padding in self._paddings():
            if all(trial.is_right_together(padding) for trial in self._trials):
                return self._proof(Way.BATCHES, padding, None)
        for padding in self._paddings():
            if all(trial.is_right_at_equal_lengths(padding) for trial in self._trials):
                return self._proof(Way.EQUAL_LENGTHS, padding, "its scores change with padding")
        draws = self._trials[0].draws()
        return Proof(
            way=Way.ALONE,
            padding=Padding(side="right", token_id=0),
            draws=draws,
            why="it draws random numbers as it computes: every text gets the same ones"
            if draws
            else "its scores change with the texts beside it",
        )

    def _proof(self, way: Way, padding: Padding, seen: str | None) -> Proof:
        why = seen
        if self._limit is not None:
            beyond = f"texts of more than {self._limit} tokens are computed alone: beyond, nothing was tried"
            why = f"{seen}; {beyond}" if seen else beyond
        return Proof(way=way, padding=padding, proven_tokens=self._limit, why=why)

    def _paddings(self) -> Iterator[Padding]:
        return paddings(self._subject.loaded, self._subject.forward.own_pad_id)

    # Trials.

    def _plain_trial(self, *, is_needed: bool) -> list[EncoderTrial]:
        """The model as it is; where that costs much (Longformer pads to its window), a small window does."""
        lengths = SHORT if is_needed else SHORT[1::2]
        if is_needed or self._is_affordable(lengths):
            return [EncoderTrial(self._subject, lengths)]
        return []

    def _crossing_trials(self) -> Iterator[EncoderTrial]:
        """A trial for each window that a row may cross; what cannot be tried is a limit."""
        for switch in find_switches(self._subject.loaded.config.to_dict()):
            within = switch.length // 2  # a window of so many tokens may look to both sides
            if within >= self._subject.max_tokens:
                continue
            trial = None if switch.is_shared else self._made_small(switch) or self._crossed(switch)
            if trial is not None:
                yield trial
            elif self._limit is None:
                self._limit = switch.length if switch.is_shared else within

    def _made_small(self, switch: Switch) -> EncoderTrial | None:
        """A trial with a small window; None where it cannot be computed, or makes no difference."""
        setting, other = max(2, _SMALL // switch.factor), max(4, _OTHER // switch.factor)
        below, beyond = setting * switch.factor - 2, other * switch.factor + 3
        lengths = (*SHORT, max(SHORT[0], below), max(SHORT[-1], beyond))
        small = self._try(lengths, switch, setting)
        if small is None:
            return None
        control = self._try(lengths[-1:], switch, other)
        is_seen = control is not None and not np.array_equal(small.longest_alone, control.longest_alone)
        return small if is_seen else None

    def _crossed(self, switch: Switch) -> EncoderTrial | None:
        """A trial that crosses a window as it is, where that is cheap."""
        lengths = (*SHORT, max(SHORT[0], switch.length - 2), switch.length + 3, 2 * switch.length + 3)
        return self._try(lengths) if self._is_affordable(lengths) else None

    def _try(
        self, lengths: tuple[int, ...], switch: Switch | None = None, setting: int = 0
    ) -> EncoderTrial | None:
        try:
            return EncoderTrial(self._subject, lengths, switch, setting)
        except torch.AcceleratorError:
            raise
        except Exception as error:  # a model's own code, with numbers that nobody has tried on it
            logger.debug("trial raised", exc_info=error, extra={"action": "trial_raised"})
            return None

    def _is_affordable(self, lengths: tuple[int, ...]) -> bool:
        work = _CPU_WORK if self._subject.loaded.device.is_cpu else _GPU_WORK
        return self._subject.num_products(lengths) <= work
