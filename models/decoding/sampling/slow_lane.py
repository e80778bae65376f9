"""Rows whose parameters the sampler does not know: transformers' own processors, one row at a time.

Bans of repeated n-grams, many end tokens, whatever else a `generation_config` may ask for. The
other rows of the step are chosen by the sampler as always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from models.decoding.parameters.options import Options
from models.decoding.sampling.finite import check_finite
from models.decoding.sampling.interface import Sampler
from models.decoding.scheduling.layout import IS_DONE, TOKEN, Shape
from models.decoding.scheduling.request import Request
from models.decoding.tensors.state import BatchState

#: Places in the step, and who has them.
SlowRows = Sequence[tuple[int, Request]]


class SlowChoice:
    """How one request's tokens are chosen; its stream of random numbers is the one that `generate` has."""

    def __init__(self, options: Options, device: torch.device) -> None:
        self._options = options
        self._device = device
        self._generator: torch.Generator | None = None
        self.begin_again()

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end it."""
        return self._options.end_ids

    def begin_again(self) -> None:
        """From the first token."""
        if self._options.is_sampled:
            self._generator = torch.Generator(self._device).manual_seed(self._options.prompt.seed or 0)

    def choose(self, sequence: list[int], scores: Tensor) -> int:
        """The token after a sequence, prompt included, whose scores are (1, vocabulary) in float32.

        Raises:
            NotFinite: of the scores that the processors leave, the best is no number.
        """
        ids = torch.tensor([sequence], device=scores.device)
        for processor in self._options.active(len(sequence)):
            scores = processor(ids, scores)
        best, token = scores[0].max(dim=-1)
        check_finite(float(best))
        if self._generator is None:
            return int(token)
        shares = torch.softmax(scores, dim=-1)
        return int(torch.multinomial(shares, num_samples=1, generator=self._generator))


class SlowLane:
    """A sampler for one step, some of whose rows are chosen otherwise than by another sampler."""

    def __init__(self, sampler: Sampler, slow: SlowRows) -> None:
        self._sampler = sampler
        self._slow = slow

    @property
    def provenance(self) -> Mapping[str, str]:
        """As the other's."""
        return self._sampler.provenance

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """As the interface says."""
        places = torch.tensor([place for place, _ in self._slow], device=scores.device)
        own = scores[places, : state.vocabulary].float()
        self._sampler.choose(state, shape, scores)
        said = [_said(request, own[number : number + 1]) for number, (_, request) in enumerate(self._slow)]
        tokens = torch.tensor([token for token, _ in said], dtype=torch.int32, device=scores.device)
        ends = torch.tensor([is_end for _, is_end in said], dtype=torch.bool, device=scores.device)
        seats = torch.tensor([request.seat for _, request in self._slow], device=scores.device)
        state.rows[seats, TOKEN] = tokens
        state.rows[seats, IS_DONE] = ends.int()
        state.chosen[places] = torch.where(ends, -1 - tokens, tokens)


def _said(request: Request, scores: Tensor) -> tuple[int, bool]:
    """A request's next token, and whether it ends with it, or with what its choice raises."""
    try:
        token = request.slow.choose([*request.input_ids.tolist(), *request.new_tokens], scores)
    except torch.AcceleratorError:
        raise  # the device itself has failed
    except Exception as error:  # a processor may raise anything at all
        request.failure = error
        return 0, True
    is_last = len(request.new_tokens) + 1 >= request.max_new_tokens
    return token, is_last or token in request.slow.end_ids
