"""Finds out by trying how a model may be decoded, and up to which length that is proven.

The oracle is transformers' own `generate` on one text at a time. Against it are held:
the engine (texts together, in chunks), padded batches, and batches of equal length; each
also beyond every window and switch that the configuration names, crossed as it is where
that is cheap, else made small for the trial (`shrinking`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from models.decoding.parameters.options import OptionsMaker
from models.decoding.proving.trials import Trial, crossing_trial, is_same, short_trials
from models.errors import CannotLoad, CannotLoadNow
from models.loading.registry import LoadedModel
from models.memory import is_out_of_memory
from models.proving.reference import Reference
from models.proving.shrinking import Shrinking
from models.proving.switches import Switch, find_switches
from models.proving.verdicts import remembered

logger = logging.getLogger(__name__)

BATCHES, EQUAL_LENGTHS, ALONE = "batches", "batches of equal length", "one at a time"
Tried = tuple[Trial, list[Tensor]]  #: and what `generate` says of each of its texts alone
#: Says why an engine's answers to a trial will not do, given what `generate` says; None: they do.
Check = Callable[[Trial, list[Tensor]], str | None]
_WAYS = (BATCHES, EQUAL_LENGTHS, ALONE)  #: of `generate`, the fastest first
_SHRUNK_LENGTH = 6
#: A length that is crossed as it is: at most so long, and for so many multiplications.
_MOST_TOKENS, _MOST_PRODUCTS = 64, 2e10


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How a model is decoded."""

    layout: str | None  #: of the engine; None: it does not do
    proven_tokens: int | None  #: up to which length the engine does; None: any
    batches: str | None  #: the way of `generate`; None where the engine does everything
    why: str | None  #: it is not the engine for all; a sentence's end for people
    uses_cache: bool  #: `generate` works with its cache


def prove(
    loaded: LoadedModel,
    reference: Reference,
    layouts: Mapping[str, Check],
    *,
    kind: str,
) -> Proof:
    """The proof of a model, found before or now.

    Args:
        loaded: the model.
        reference: how it decodes by itself.
        layouts: ways of the engine by their names, the best first; none: only `generate` is tried.
        kind: what the verdict is remembered as.

    Raises:
        CannotLoad: transformers itself cannot decode with this model.
    """
    verdict = remembered(loaded, kind, lambda: asdict(_Prover(loaded, reference, layouts).proof()))
    proof = Proof(**verdict)
    reference.uses_cache = proof.uses_cache
    return proof


class _Prover:
    def __init__(self, loaded: LoadedModel, reference: Reference, layouts: Mapping[str, Check]) -> None:
        self._loaded = loaded
        self._layouts = layouts
        self._reference = reference
        self._switches = find_switches(loaded.config.to_dict())
        self._last_error: Exception | None = None
        self._short, self._alone = self._first_trial()

    def proof(self) -> Proof:
        layout, why = self._layout()
        proven, limit_why = self._proven_tokens(self._layouts[layout]) if layout else (None, None)
        return Proof(
            layout=layout,
            proven_tokens=proven,
            batches=self._batches() if layout is None or proven is not None else None,
            why=why or limit_why,
            uses_cache=self._reference.uses_cache,
        )

    # The engine.

    def _layout(self) -> tuple[str | None, str | None]:
        if not OptionsMaker(self._loaded.model, self._loaded.tokenizer).is_served():
            return None, "generation_config asks for a kind of decoding that the engine does not do"
        reasons = []
        for layout, check in self._layouts.items():
            reason = check(self._short, self._alone)
            if reason is None:
                return layout, None
            reasons.append(reason)
        if not reasons:
            return None, None
        return None, f"the engine does not suit this architecture ({reasons[0][:200]})"

    def _proven_tokens(self, check: Check) -> tuple[int | None, str | None]:
        for switch in self._switches:
            if switch.is_shared:
                return switch.length, f"beyond {switch} documents would change each other"
            reason = self._beyond(switch, check)
            if reason is not None:
                return switch.length, f"beyond {switch}: {reason}"
        return None, None

    def _beyond(self, switch: Switch, check: Check) -> str | None:
        """Why the engine is not proven beyond a switch; None: it is."""
        with self._crossed(switch) as tried:
            if tried is None:
                return "a trial with a smaller one shows no difference, so nothing is proven"
            return check(*tried)

    # `generate`.

    def _batches(self) -> str:
        """The fastest way of `generate` by which rows do not change each other."""
        way = self._way_of(self._short, self._alone)
        for switch in self._switches:
            if way == ALONE:
                break
            with self._crossed(switch) as tried:
                if tried is not None:
                    way = max(way, self._way_of(*tried), key=_WAYS.index)
        return way

    def _way_of(self, trial: Trial, alone: list[Tensor]) -> str:
        if self._is_neutral(trial, alone):
            return BATCHES
        equal = self._try(trial.of_equal_length())
        return EQUAL_LENGTHS if equal and self._is_neutral(*equal) else ALONE

    def _is_neutral(self, trial: Trial, alone: list[Tensor]) -> bool:
        try:
            together = self._reference.logits(trial.prompts, trial.following)
        except torch.AcceleratorError:
            raise
        except Exception as error:  # a model's own code may raise anything at all
            logger.debug("batch raised", exc_info=error, extra={"action": "batch_raised"})
            return False
        return is_same(together, alone, self._loaded.dtype)

    # Both.

    @contextmanager
    def _crossed(self, switch: Switch) -> Iterator[Tried | None]:
        """A trial that crosses a switch, in a model in which it does; None where it cannot be tried."""
        tried = self._as_it_is(switch)
        if tried is not None:
            yield tried
            return
        setting = max(2, _SHRUNK_LENGTH // switch.factor)
        trial = crossing_trial(self._loaded, setting * switch.factor)
        before = self._try(trial.first_step())
        with Shrinking(self._loaded.model, switch, setting).in_force():
            small = self._try(trial)
            is_seen = before and small and not torch.equal(small[1][0][:1], before[1][0])
            yield small if is_seen else None

    def _as_it_is(self, switch: Switch) -> Tried | None:
        """The same where it is cheap and the model takes so many tokens."""
        if switch.length > _MOST_TOKENS:
            return None
        trial = crossing_trial(self._loaded, switch.length)
        if trial.num_tokens * self._loaded.num_parameters > _MOST_PRODUCTS:
            return None
        return self._try(trial)

    def _try(self, trial: Trial) -> Tried | None:
        try:
            return trial, self._each_alone(trial)
        except torch.AcceleratorError:
            raise
        except Exception as error:  # a model's own code may raise anything at all
            logger.debug("trial raised", exc_info=error, extra={"action": "trial_raised"})
            self._last_error = error
            return None

    def _first_trial(self) -> Tried:
        for self._reference.uses_cache in (True, False):
            for trial in short_trials(self._loaded):
                tried = self._try(trial)
                if tried is not None:
                    return tried
        error, name = self._last_error, self._loaded.spec.name
        assert error is not None, "a trial that is none has raised"
        if is_out_of_memory(error):
            raise CannotLoadNow(f"model {name!r} has no memory to decode in: {error}") from error
        raise CannotLoad(
            f"model {name!r} cannot be decoded: transformers' own generate raised "
            f"{type(error).__name__}: {error}"
        ) from error

    def _each_alone(self, trial: Trial) -> list[Tensor]:
        """What `generate` says of each text by itself."""
        return [
            self._reference.logits([prompt], [ids])[0]
            for prompt, ids in zip(trial.prompts, trial.following, strict=True)
        ]
