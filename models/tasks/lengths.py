"""How many tokens may be decoded, counted as transformers counts them.

`max_length` is the length of the whole sequence: of a decoder's prompt and its continuation,
or of an encoder-decoder's start token and its output. `max_new_tokens` counts new tokens
alone. What a client says goes before what the model's `generation_config` says, and in either
`max_new_tokens` goes before `max_length`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import TooLong
from models.loading.registry import Family, LoadedModel
from models.proving.switches import find_switches

_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_ENCODER_NAMES = ("max_encoder_position_embeddings", "max_source_positions", *_NAMES)
_DECODER_NAMES = ("max_decoder_position_embeddings", "max_target_positions", *_NAMES)
_NO_NUMBER = 10**9
#: Where nothing limits a sequence but memory: attention takes a square of this.
_LONGEST_TOKENS = 16_384


class Lengths:
    """The limits of one loaded model."""

    def __init__(self, loaded: LoadedModel) -> None:
        config = loaded.model.generation_config
        self._defaults: dict[str, int | None] = {
            name: getattr(config, name, None) for name in ("max_new_tokens", "max_length")
        }
        self._has_encoder = loaded.family is Family.SEQ2SEQ
        self._forced_end: int | None = getattr(config, "forced_eos_token_id", None)
        self._longest = _positions(loaded, _DECODER_NAMES)  # of what a decoder sees
        #: tokens of the longest text the model takes
        self.max_tokens = _positions(loaded, _ENCODER_NAMES) if self._has_encoder else self._longest

    def new_tokens(self, params: Mapping[str, Any], prompt_tokens: int, *, otherwise: int) -> int:
        """How many tokens may follow a prompt.

        Args:
            params: of the document.
            prompt_tokens: of the prompt, or of an encoder's input.
            otherwise: used when neither the client nor the model names a limit. transformers would
                take its own 20, which ends most texts in mid-sentence.

        Raises:
            TooLong: the prompt leaves no room for a token.
        """
        if prompt_tokens > self.max_tokens:
            raise TooLong(f"the text has {prompt_tokens} tokens; the model takes {self.max_tokens}")
        start_tokens = 1 if self._has_encoder else prompt_tokens
        wanted = self._wanted(params, start_tokens)
        room = self._longest - start_tokens
        if room < 1:
            raise TooLong(f"the prompt has {prompt_tokens} tokens; the model takes {self.max_tokens}")
        return min(otherwise if wanted is None else wanted, room)

    def by_default(self, otherwise: int) -> int:
        """The most new tokens there can be when a client names no limit."""
        max_new_tokens, max_length = self._defaults["max_new_tokens"], self._defaults["max_length"]
        if max_new_tokens is None and max_length is not None:
            return max_length - 1  # the start token counts, or a prompt of one
        return otherwise if max_new_tokens is None else max_new_tokens

    def is_ended(self, ids: list[int], max_new_tokens: int, *, is_stopped: bool) -> bool:
        """Whether an output ended by itself. The last token a limit allows may be a forced end."""
        return is_stopped and not (self._forced_end is not None and len(ids) >= max_new_tokens)

    def _wanted(self, params: Mapping[str, Any], start_tokens: int) -> int | None:
        for limits, whose in ((params, ""), (self._defaults, "the model's ")):
            max_new_tokens, max_length = limits.get("max_new_tokens"), limits.get("max_length")
            if max_new_tokens is not None:
                return int(max_new_tokens)
            if max_length is not None:
                wanted = int(max_length) - start_tokens
                if wanted < 1:
                    what = "the start token counts" if self._has_encoder else f"the prompt has {start_tokens}"
                    raise TooLong(
                        f"nothing is left of {whose}max_length={max_length}: {what}; "
                        "max_new_tokens counts new tokens alone"
                    )
                return wanted
        return None


def _positions(loaded: LoadedModel, names: Sequence[str]) -> int:
    is_decoder = names is _DECODER_NAMES
    config: Any = loaded.config.get_text_config(decoder=is_decoder, encoder=not is_decoder)
    # T5 and its kin keep `n_positions` in their configuration and do not use it: theirs are relative.
    if getattr(config, "relative_attention_num_buckets", None) is None:
        for name in names:
            value = getattr(config, name, None)
            if isinstance(value, int) and 0 < value < _NO_NUMBER:  # some say -1, some 10^30
                limit = value - _lost_positions(loaded)
                return max(limit, _LONGEST_TOKENS) if _goes_beyond(loaded) else limit
    limit = loaded.tokenizer.model_max_length
    return int(limit) if limit and 0 < limit < _NO_NUMBER else _LONGEST_TOKENS


def _lost_positions(loaded: LoadedModel) -> int:
    """RoBERTa and its kin count positions from behind the number of their padding."""
    if loaded.config.is_encoder_decoder:
        return 0
    for name, module in loaded.model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def _goes_beyond(loaded: LoadedModel) -> bool:
    """Whether positions are scaled by the length of a text, so that none is too long."""
    switches = find_switches(loaded.config.to_dict())
    return any(switch.is_shared and switch.name in _NAMES for switch in switches)
