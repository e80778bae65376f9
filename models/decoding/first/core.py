"""The decoding core: admit, compute, choose, hand out. One `step` is one bounded piece of work.

Knows prompts, not documents' texts: `models/tasks` turns one into the other.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from models.decoding.first.arena import Tenant
from models.decoding.first.choice import choose
from models.decoding.first.decoding import Decoding
from models.decoding.first.forward import Forward
from models.decoding.first.scheduler import Limits, Request, Scheduler
from models.decoding.first.turn import Search, Turn
from models.decoding.parameters.options import Options, OptionsMaker, refusal_of
from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.sampling.beam_search import BeamSearch
from models.decoding.sampling.samples import Samples
from models.errors import DocumentError, OutOfMemory
from models.loading.registry import LoadedModel
from models.memory import is_out_of_memory, release_cached_memory

logger = logging.getLogger(__name__)

Result = tuple[Hashable, Decoded | DocumentError]
_MOST_RESTARTS = 8  #: of a document, before it is the one that there is no memory for


class _StateLost(Exception):
    """A step failed where it cannot be repeated."""


class DecodingCore(ABC):
    """What decoding has in common for both families; a family says how prompts begin."""

    def __init__(self, loaded: LoadedModel, forward: Forward, limits: Limits) -> None:
        self.scheduler = Scheduler(limits)
        self.counters = {"steps": 0, "live_rows": 0, "padded_tokens": 0, "useful_tokens": 0}
        self._loaded = loaded
        self._forward = forward
        self._options = OptionsMaker(loaded.model, loaded.tokenizer)
        self._inside: dict[Hashable, Decoding] = {}
        self._results: list[Result] = []

    def add(self, key: Hashable, prompt: Prompt, *, priority: float) -> None:
        """Queues a prompt; the key is not inside yet."""
        self.scheduler.add(
            Request(
                key=key,
                prompt_tokens=len(prompt.input_ids),
                max_new_tokens=prompt.max_new_tokens,
                width=prompt.num_rows,
                priority=priority,
                data=prompt,
            )
        )

    def discard(self, keys: Collection[Hashable]) -> None:
        """Drops prompts, wherever they are."""
        self.scheduler.discard(keys)
        with torch.inference_mode():
            for key in keys:
                decoding = self._inside.pop(key, None)
                if decoding is not None:
                    decoding.leave()
        self._rest()

    def clear(self) -> None:
        """Drops everything."""
        self.discard([*self._inside])
        self.scheduler = Scheduler(self.scheduler.limits)

    @property
    def has_work(self) -> bool:
        """Whether anything is inside."""
        return bool(self._inside) or bool(self.scheduler.num_waiting)

    def step(self) -> list[Result]:
        """Computes the next token of everything that runs, and some of what begins."""
        self._results = []
        with torch.inference_mode():
            for request in self.scheduler.preempt():
                self._inside.pop(request.key).leave()
            try:
                self._compute(self._admit())
            except _StateLost as lost:
                self._begin_again(lost)
        self._rest()
        return self._results

    @abstractmethod
    def _compute(self, newcomers: Sequence[Decoding]) -> None:
        """One step of the family."""

    # Coming in.

    def _admit(self) -> list[Decoding]:
        newcomers = []
        for request in self.scheduler.admit():
            try:
                search = self._search(self._options.make(request.data))
            except torch.AcceleratorError:
                raise  # the device itself has failed
            except Exception as error:  # transformers checks parameters wherever it first needs them
                self._settle(request, refusal_of(error))
                continue
            decoding = Decoding(request, search, Tenant(search.width))
            self._inside[request.key] = decoding
            newcomers.append(decoding)
        return newcomers

    def _search(self, options: Options) -> Search:
        device = self._loaded.device.torch
        return BeamSearch(options, device) if options.num_beams > 1 else Samples(options, device)

    def _enter(self, decoding: Decoding) -> None:
        # A little room beyond the prompt, so that it need not move at once.
        self._forward.enter(decoding, len(decoding.search.options.start_ids) + 8 * decoding.own.width)

    # Going on.

    def _running(self) -> list[Decoding]:
        return [decoding for decoding in self._inside.values() if decoding.is_active]

    def _choose(self, ordered: Sequence[Decoding], logits: Tensor) -> list[Decoding]:
        """Lets every document choose from its rows; returns those that go on."""
        turns, start = [], 0
        for decoding in ordered:
            stop = start + (len(decoding.search.live) if decoding.is_active else 1)
            turns.append(Turn(decoding.search, slice(start, stop)))
            start = stop
        choose(turns, logits)
        self.counters["steps"] += 1
        self.counters["live_rows"] += start
        self.counters["useful_tokens"] += start
        going_on = []
        for decoding, turn in zip(ordered, turns, strict=True):
            decoding.request.new_tokens += 1
            if turn.failure is not None:
                self._fail(decoding, turn.failure)
            elif decoding.search.is_done:
                self._finish(decoding)
            else:
                going_on.append(decoding)
        return going_on

    def _apart(self, decodings: Sequence[Decoding], compute: Any) -> None:
        """Computes some documents together; when that raises, in halves, until whoever is at fault is alone.

        A step that failed may be repeated: it writes the same entries again.
        """
        if not decodings:
            return
        try:
            compute(decodings)
        except (torch.AcceleratorError, _StateLost):
            raise  # the device itself has failed: nothing can be computed in this process any more
        except Exception as error:
            if is_out_of_memory(error):
                release_cached_memory()
            if len(decodings) == 1:
                self._fail(decodings[0], error)
                return
            logger.warning(
                "step divided",
                extra={
                    "action": "step_divided",
                    "model": self._loaded.spec.name,
                    "num_documents": len(decodings),
                    "reason": type(error).__name__,
                },
            )
            middle = len(decodings) // 2
            for half in (decodings[:middle], decodings[middle:]):
                self._apart(half, compute)

    @contextmanager
    def _landing(self) -> Iterator[None]:
        """What follows a forward pass. Where it fails half way, nothing can be repeated from there."""
        try:
            yield
        except torch.AcceleratorError:
            raise
        except Exception as error:
            raise _StateLost from error

    def _begin_again(self, lost: _StateLost) -> None:
        """All documents from their beginnings, which changes none of them; one alone has failed."""
        error = lost.__cause__
        assert isinstance(error, Exception), "a state is lost by an error"
        release_cached_memory()
        inside = sorted(self._inside.values(), key=lambda each: each.request.order)
        logger.warning(
            "documents begin again",
            extra={
                "action": "documents_begin_again",
                "model": self._loaded.spec.name,
                "num_documents": len(inside),
                "reason": type(error).__name__,
            },
        )
        if inside and (len(inside) == 1 or inside[-1].request.num_restarts >= _MOST_RESTARTS):
            self._fail(inside.pop(), error)
        for decoding in inside:
            self._drop(decoding, wipe=True)
            self.scheduler.send_back(decoding.request)

    # Going out.

    def _finish(self, decoding: Decoding) -> None:
        self._drop(decoding)
        self._settle(decoding.request, decoding.search.result())

    def _fail(self, decoding: Decoding, error: Exception) -> None:
        self._drop(decoding, wipe=True)
        if is_out_of_memory(error):
            self._settle(decoding.request, OutOfMemory())
        elif isinstance(error, DocumentError):
            self._settle(decoding.request, error)
        else:
            logger.warning("document failed", exc_info=error, extra={"action": "document_failed"})
            self._settle(decoding.request, DocumentError(f"the model raised {type(error).__name__}: {error}"))

    def _rest(self) -> None:
        """A model that waits for work keeps its weights, and no cache."""
        if not self.has_work:
            self._forward.give_back()

    def _drop(self, decoding: Decoding, *, wipe: bool = False) -> None:
        del self._inside[decoding.request.key]
        decoding.leave(wipe=wipe)

    def _settle(self, request: Request, result: Decoded | DocumentError) -> None:
        self.scheduler.discard([request.key])
        self._results.append((request.key, result))
