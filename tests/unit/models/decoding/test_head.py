"""The product that ends an encoder-decoder, where it takes the place of the model's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from models.decoding.encoding import take_head_apart
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.encoder_decoder import EncoderDecoderForward
from tests.support.groups import layout_of
from tests.support.tiny_models import Loader


@pytest.mark.parametrize(("name", "is_apart"), [("marian", True), ("bart", True), ("t5", False)])
def test_a_head_of_its_own_says_what_the_model_says(name: str, is_apart: bool, loaded: Loader) -> None:
    """A vocabulary of an odd size takes six times as long on a GPU; T5's model has no part without a head."""
    model = loaded("translation", name)
    forward = EncoderDecoderForward(model, layout_of(name))
    take_head_apart(forward)
    assert (forward.head is not None) is is_apart
    if forward.head is not None:
        hidden = torch.randn(3, model.config.d_model)
        own: Any = model.model
        wanted = own.get_output_embeddings()(hidden) + own.final_logits_bias
        assert forward.head(hidden).shape[1] % 64 == 0
        assert torch.allclose(forward.head(hidden)[:, : wanted.shape[1]], wanted, rtol=1e-4, atol=1e-4)


def test_a_head_that_does_more_than_one_product_stays_the_models_own(loaded: Loader) -> None:
    model = copy.deepcopy(loaded("translation", "marian"))
    own: Any = model.model
    plain = own.lm_head.forward
    own.lm_head.forward = lambda hidden: plain(hidden).tanh()
    forward = EncoderDecoderForward(model, Layout.ROWS)
    take_head_apart(forward)
    assert forward.head is None
