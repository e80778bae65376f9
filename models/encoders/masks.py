"""Masks of attention that are made without a question to the device.

transformers leaves a mask away where no token is padding, and looks for that in the mask itself. On
a GPU the host so waits, in the middle of each batch, for all batches before it. Here the host says
what it knows: it has padded the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from models.decoding.attention.interface import attending
from models.errors import NotSuited

_NAME = "textmill-unasked"
_PLAIN = "sdpa"
_has_padding: ContextVar[bool] = ContextVar("has_padding", default=True)


def takes_masks(model: nn.Module) -> bool:
    """Whether a model takes masks for torch's own attention from a function of anybody's choice."""
    config: Any = model.config
    if getattr(config, "_attn_implementation", None) != _PLAIN:
        return False
    try:
        with attending(model, _NAME):
            return True
    except NotSuited:
        return False


@contextmanager
def unasked(model: nn.Module, *, has_padding: bool) -> Iterator[None]:
    """While this is in force, the model's masks follow from what the host says of its rows."""
    said = _has_padding.set(has_padding)
    try:
        with attending(model, _NAME):
            yield
    finally:
        _has_padding.reset(said)


def _mask(*, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:
    if attention_mask is None or not _has_padding.get():
        return sdpa_mask(attention_mask=None, **options)
    no_skip = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return sdpa_mask(attention_mask=attention_mask, **{**options, **no_skip})


AttentionInterface.register(_NAME, ALL_ATTENTION_FUNCTIONS[_PLAIN])
AttentionMaskInterface.register(_NAME, _mask)
