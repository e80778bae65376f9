"""A model decoded by transformers' own `generate`, which is what every other way is held against.

Some models note things while they compute: a rope the longest text it has seen, BigBird
that a text was short. The next document would be computed otherwise for it, so what a
model notes is forgotten after every call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from models.loading.registry import LoadedModel
from models.proving.shrinking import configs_of

_ATTENTION = "_attn_implementation_internal"  # of configurations; the setter would set its parts' too


class Reference:
    """Made before anything of ours is put into the model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model: Any = loaded.model
        self._device = loaded.device.torch
        self.is_encoder_decoder = bool(loaded.config.is_encoder_decoder)
        self.pad_id = _pad_id(loaded)
        self.uses_cache = True  #: False for models whose own code raises with the cache of today
        self._attention = [(config, vars(config).get(_ATTENTION)) for config in configs_of(loaded.model)]

    @contextmanager
    def as_loaded(self) -> Iterator[None]:
        """The model with the attention it came with; afterwards it has forgotten what it noted."""
        before = [(config, vars(config).get(_ATTENTION)) for config, _ in self._attention]
        _set_attention(self._attention)
        try:
            with forgetting(self._model):
                yield
        finally:
            _set_attention(before)

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> Any:
        """What the model's `generate` returns for prompts in one batch, padded to the longest.

        Stop strings are the caller's affair: transformers would take the vocabulary apart for them.
        """
        if not self.uses_cache:
            options["use_cache"] = False
        with self.as_loaded(), self._without_stop_strings(), torch.inference_mode():
            return self._model.generate(**self._padded(prompts), **options)

    @contextmanager
    def _without_stop_strings(self) -> Iterator[None]:
        config = self._model.generation_config
        before, config.stop_strings = config.stop_strings, None
        try:
            yield
        finally:
            config.stop_strings = before

    def num_before(self, prompts: Sequence[Sequence[int]]) -> int:
        """How many tokens of each row that `generate` returns are not new."""
        return 1 if self.is_encoder_decoder else max(map(len, prompts))

    def logits(self, prompts: Sequence[Sequence[int]], following: Sequence[Sequence[int]]) -> list[Tensor]:
        """Raw logits when given tokens follow the prompts, all in one batch.

        Returns:
            For each prompt (tokens that follow, vocabulary): before the first of them, before the
            second, and so on.
        """
        follow = _Follow(torch.tensor([list(ids) for ids in following], device=self._device))
        before = self._model.generation_config
        self._model.generation_config = _without_wishes(before, self.pad_id)
        try:
            produced = self.generate(
                prompts,
                max_new_tokens=len(following[0]),
                logits_processor=LogitsProcessorList([follow]),
                return_dict_in_generate=True,
                output_logits=True,
            )
        finally:
            self._model.generation_config = before
        return list(torch.stack(produced.logits, dim=1).float().cpu())

    def _padded(self, prompts: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        longest = max(map(len, prompts))
        ids, mask = [], []
        for prompt in prompts:
            padding, ones = [self.pad_id] * (longest - len(prompt)), [1] * len(prompt)
            zeros = [0] * len(padding)
            if self.is_encoder_decoder:
                ids.append([*prompt, *padding])
                mask.append(ones + zeros)
            else:  # a continuation must follow its prompt directly
                ids.append([*padding, *prompt])
                mask.append(zeros + ones)
        return {
            "input_ids": torch.tensor(ids, device=self._device),  # (rows, longest)
            "attention_mask": torch.tensor(mask, device=self._device),
        }


@contextmanager
def forgetting(model: nn.Module) -> Iterator[None]:
    """Puts back what modules hold by name: numbers, states, buffers, and the modules they are made of."""
    kept = [
        (mine, dict(mine))
        for module in model.modules()
        for mine in (vars(module), module._modules, module._buffers)
    ]
    try:
        yield
    finally:
        for mine, before in kept:
            if mine.keys() != before.keys() or any(mine[name] is not before[name] for name in before):
                mine.clear()
                mine.update(before)


class _Follow(LogitsProcessor):
    """Lets given tokens follow, whatever the model prefers."""

    def __init__(self, following: Tensor) -> None:
        self._following = following  # (rows, steps)
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        forced = torch.full_like(scores, -torch.inf)
        forced.scatter_(1, self._following[:, self._step, None], 0.0)
        self._step += 1
        return forced


def _without_wishes(config: GenerationConfig, pad_id: int) -> GenerationConfig:
    """Plain greedy decoding that no token ends."""
    return GenerationConfig(
        bos_token_id=config.bos_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
        pad_token_id=pad_id,
        use_cache=config.use_cache,
    )


def _set_attention(implementations: Sequence[tuple[Any, Any]]) -> None:
    for config, implementation in implementations:
        vars(config)[_ATTENTION] = implementation


def _pad_id(loaded: LoadedModel) -> int:
    """What fills rows up: the model's own choice, where it is a token at all."""
    config: Any = loaded.model.generation_config
    ends = config.eos_token_id
    size = vocabulary_size(loaded)
    wished = [
        config.pad_token_id,
        getattr(loaded.config, "pad_token_id", None),
        loaded.tokenizer.pad_token_id,
    ]
    wished += ends if isinstance(ends, list) else [ends]
    return next((each for each in wished if isinstance(each, int) and 0 <= each < size), 0)


def vocabulary_size(loaded: LoadedModel) -> int:
    """Tokens that the model can read."""
    embeddings: Any = loaded.model.get_input_embeddings()
    weight = getattr(embeddings, "weight", None)
    if isinstance(weight, Tensor):
        return int(weight.shape[0])
    return int(loaded.config.get_text_config().vocab_size)
