"""What a training makes small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor
from transformers import MarianMTModel

LABEL_SMOOTHING = 0.1

_Scored = Callable[[Tensor, Tensor, Tensor, int, float], Tensor]


class Loss:
    """The mean cross-entropy of the target tokens, in nats.

    Args:
        compiled: fuse what each layer does between its products, and the scores with their
            cross-entropy. Needs a C++ compiler, and a minute or two at the first batches.
    """

    def __init__(self, model: MarianMTModel, *, compiled: bool = False) -> None:
        self._model = model
        self._score: _Scored = _cross_entropy
        assert model.config.pad_token_id is not None
        self._pad = model.config.pad_token_id
        if compiled:
            # Compiled, the plain formula takes half of the time of torch's fused attention: sentences are short.
            model.set_attn_implementation("eager")
            # torch's own random numbers are quicker on a CPU than those that are compiled into a loop.
            inductor.fallback_random = True
            # One for all layers of a kind, and not one for the whole model: compiled in a fraction of the time.
            for layer in (*model.model.encoder.layers, *model.model.decoder.layers):
                layer.compile(dynamic=True)
            self._score = torch.compile(_cross_entropy, dynamic=True)

    def __call__(self, sources: Tensor, targets: Tensor, *, smoothing: float = LABEL_SMOOTHING) -> Tensor:
        """Of (rows, tokens) sources and targets, padded; products in bfloat16."""
        start = torch.full_like(targets[:, :1], self._pad)  # Marian decodes from the padding token
        with torch.autocast(sources.device.type, dtype=torch.bfloat16):
            states = self._model.model(
                input_ids=sources,
                attention_mask=sources.ne(self._pad).long(),
                decoder_input_ids=torch.cat([start, targets[:, :-1]], dim=1),
                use_cache=False,
            ).last_hidden_state  # (rows, tokens, width)
            return self._score(states, self._model.lm_head.weight, targets, self._pad, smoothing)


def _cross_entropy(states: Tensor, embeddings: Tensor, targets: Tensor, pad: int, smoothing: float) -> Tensor:
    # Marian's own bias of the scores is a buffer of zeros that no training changes.
    scores = nn.functional.linear(states, embeddings)  # (rows, tokens, vocabulary)
    return nn.functional.cross_entropy(
        scores.flatten(0, 1).float(), targets.flatten(), ignore_index=pad, label_smoothing=smoothing
    )
