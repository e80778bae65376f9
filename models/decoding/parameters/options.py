"""From a document's parameters to transformers' own logits processors.

The only place that calls private parts of transformers: `generate` itself assembles its
processors with them, so order and defaults are the same by construction.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel
from transformers.generation.configuration_utils import GenerationMode

from models.decoding.grammars.processor import GrammarProcessor
from models.decoding.parameters.processors import before_the_choice, forces_first, is_active
from models.decoding.parameters.prompt import Prompt
from models.errors import DocumentError, InvalidParameter, OutOfMemory
from models.loading.stops import StopStrings, TokenBytes
from models.memory import is_out_of_memory

_SERVED_MODES = frozenset({
    GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE,
    GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE,
})  # fmt: skip
_MAX_CACHED = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Options:
    """How one document is decoded."""

    config: GenerationConfig
    prompt: Prompt
    start_ids: list[int]  #: what the sequences begin with: the prompt, or an encoder-decoder's start token
    end_ids: frozenset[int]
    num_end_ids: int  #: as listed; one that is listed twice counts twice, as in `generate`
    group: Hashable  #: equal for documents whose processors are the same
    processors: list[LogitsProcessor]
    stop: StopStrings | None

    @property
    def num_beams(self) -> int:
        """Beams; 1: no beam search."""
        return int(self.config.num_beams or 1)

    @property
    def is_sampled(self) -> bool:
        """Whether tokens are drawn."""
        return bool(self.config.do_sample)

    @property
    def num_returned(self) -> int:
        """Sequences that are returned."""
        return int(self.config.num_return_sequences or 1)

    @property
    def max_length(self) -> int:
        """Of the start and the new tokens together."""
        return len(self.start_ids) + self.prompt.max_new_tokens

    def active(self, length: int) -> list[LogitsProcessor]:
        """The processors that do anything to sequences of this length."""
        return [each for each in self.processors if is_active(each, length)]


@dataclass(frozen=True)
class _Base:
    """What documents of equal parameters share."""

    config: GenerationConfig
    end_ids: list[int]


class OptionsMaker:
    """Makes options for one model."""

    def __init__(self, model: PreTrainedModel, tokenizer: Any) -> None:
        self._model: Any = model
        self._is_encoder_decoder = bool(model.config.is_encoder_decoder)
        self._bases: OrderedDict[Hashable, _Base] = OrderedDict()
        self._stops: OrderedDict[tuple[str, ...], StopStrings] = OrderedDict()
        self._token_bytes = TokenBytes(tokenizer)

    def is_served(self) -> bool:
        """Whether the model's own defaults ask for a kind of decoding that is done here."""
        config = self._model._prepare_generation_config(None)[0]
        return config.get_generation_mode() in _SERVED_MODES and config.guidance_scale in (None, 1)

    @property
    def start_token(self) -> int:
        """What an encoder-decoder's sequences begin with."""
        config = self._model._prepare_generation_config(None)[0]
        self._make_tensors_of_tokens(config)
        return int(config._decoder_start_token_tensor)

    def make(self, prompt: Prompt) -> Options:
        """The options of a prompt.

        Raises:
            InvalidParameter: transformers refuses them; the message is its own.
        """
        group = (tuple(sorted(prompt.params.items())), prompt.forced_bos_token_id)
        base = _remembered(self._bases, group, lambda: self._base(prompt))
        config = copy.copy(base.config)
        start_ids = self._start_ids(config, prompt)
        config.max_length = len(start_ids) + prompt.max_new_tokens
        if config.min_new_tokens is not None:
            config.min_length = len(start_ids) + config.min_new_tokens
        made: list[LogitsProcessor] = self._model._get_logits_processor(
            generation_config=config,
            input_ids_seq_length=len(start_ids),
            encoder_input_ids=torch.tensor([prompt.input_ids], device=self._model.device),
            device=str(self._model.device),
            model_kwargs={},
        )
        stop = None
        if prompt.stop:
            stop = _remembered(self._stops, prompt.stop, lambda: StopStrings(prompt.stop, self._token_bytes))
        if prompt.grammar is not None:
            own = GrammarProcessor(prompt.grammar, len(start_ids), has_forced_first=forces_first(made))
            made = before_the_choice(made, own)
        return Options(
            config=config,
            prompt=prompt,
            start_ids=start_ids,
            end_ids=frozenset(base.end_ids),
            num_end_ids=len(base.end_ids),
            group=group,
            processors=made,
            stop=stop,
        )

    def _base(self, prompt: Prompt) -> _Base:
        options: dict[str, Any] = dict(prompt.params)
        if prompt.forced_bos_token_id is not None:
            options["forced_bos_token_id"] = prompt.forced_bos_token_id
        try:
            config = self._model._prepare_generation_config(None, **options)[0]
            config.validate()
            mode = config.get_generation_mode()
        except ValueError as error:
            raise InvalidParameter(str(error)) from error
        if mode not in _SERVED_MODES:
            raise InvalidParameter(f"decoding by {mode.value} is not served")
        self._make_tensors_of_tokens(config)
        ends = config._eos_token_tensor
        return _Base(config, [] if ends is None else ends.tolist())

    def _make_tensors_of_tokens(self, config: GenerationConfig) -> None:
        self._model._prepare_special_tokens(
            config, kwargs_has_attention_mask=True, device=self._model.device, batch_size=1
        )

    def _start_ids(self, config: GenerationConfig, prompt: Prompt) -> list[int]:
        if not self._is_encoder_decoder:
            return prompt.input_ids
        return [int(config._decoder_start_token_tensor)]  # type: ignore[arg-type]


def refusal_of(error: Exception) -> DocumentError:
    """What is told of a document whose parameters made transformers raise."""
    if is_out_of_memory(error):
        return OutOfMemory()
    return error if isinstance(error, DocumentError) else InvalidParameter(str(error) or repr(error))


def _remembered(memory: OrderedDict[Any, Any], key: Hashable, make: Any) -> Any:
    """The value of a key, made when it is not among those used last."""
    if key not in memory:
        memory[key] = make()
        if len(memory) > _MAX_CACHED:
            memory.popitem(last=False)
    memory.move_to_end(key)
    return memory[key]
