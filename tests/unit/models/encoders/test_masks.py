"""A pass asks the device nothing, where the model lets the host say which tokens are padding."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.encoders.forward import EncoderForward, Padding
from models.encoders.framing import Tokens
from models.encoders.masks import takes_masks
from models.encoders.trial import Subject, same_without_asking
from models.loading.registry import LoadedModel
from tests.support.tape import HOST_READS
from tests.support.tiny_encoders import tiny

#: Of those that transformers asks for padding: with both sides in sight, windows, positions of their own, and
#: decoders.
_KINDS = ("bert", "roberta", "distilbert", "electra", "albert", "modernbert", "llama", "mistral", "gpt2")
_LENGTHS = (5, 9, 12)


@pytest.mark.parametrize("kind", _KINDS)
@torch.inference_mode()
def test_a_pass_reads_nothing_on_the_host_between_its_copies(kind: str) -> None:
    """Each batch waited in its middle for the batches before it: the mask was looked at."""
    forward = _forward(tiny(kind, "sentiment"))
    assert kind == "mistral" or "is_nonzero" in _read(
        forward, _LENGTHS
    )  # it always has a mask: of its window
    forward.is_unasked = True
    for lengths in (_LENGTHS, _LENGTHS[:1], _LENGTHS[:1] * 3):
        assert not _read(forward, lengths)


@pytest.mark.parametrize("kind", _KINDS)
@torch.inference_mode()
def test_scores_are_those_of_masks_that_transformers_makes(kind: str) -> None:
    forward = _forward(tiny(kind, "sentiment"))
    rows = [_row(length) for length in _LENGTHS]
    for batch in (rows, rows[:1], rows[1:2] * 3):
        forward.is_unasked = False
        right = forward(batch).logits
        forward.is_unasked = True
        torch.testing.assert_close(forward(batch).logits, right)


@torch.inference_mode()
def test_a_model_whose_scores_change_is_asked() -> None:
    loaded = tiny("bert", "sentiment")
    assert takes_masks(loaded.model)
    subject = Subject(
        loaded=loaded,
        forward=EncoderForward(loaded),
        row_of=lambda ids: Tokens(ids=[2, *ids, 3], types=None),
        scores_of=lambda outputs, rows: list(outputs.logits.numpy()),
        max_tokens=64,
    )
    assert same_without_asking(subject)
    loaded.model.register_forward_hook(_add_what_attends)
    assert not same_without_asking(subject)


def test_a_model_with_attention_of_its_own_keeps_it() -> None:
    assert not takes_masks(tiny("deberta", "sentiment").model)
    assert not takes_masks(tiny("fnet", "sentiment").model)


def _forward(loaded: LoadedModel) -> EncoderForward:
    forward = EncoderForward(loaded)
    if forward.own_pad_id is None:
        forward.padding = Padding(side="right", token_id=0, is_ours=True)
    return forward


def _add_what_attends(model: Any, _inputs: Any, outputs: Any) -> Any:
    """As code that looks for the name of its attention does."""
    outputs.logits = outputs.logits + (model.config._attn_implementation == "sdpa")
    return outputs


def _read(forward: EncoderForward, lengths: tuple[int, ...]) -> set[str]:
    rows = [_row(length) for length in lengths]
    with _HostReads() as reads:
        forward(rows)
    return reads.found


def _row(length: int) -> Tokens:
    draw = random.Random(length)
    return Tokens(ids=[draw.randrange(10, 60) for _ in range(length)], types=None)


class _HostReads(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if name in HOST_READS:
            self.found.add(name)
        return function(*args, **(kwargs or {}))
