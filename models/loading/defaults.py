"""A model's own `generation_config`: what of it is not done, or cannot be, is left out and said once.

Every document starts from these defaults, so whatever they make transformers raise, it
would raise for every one of a million documents. Each setting is tried by itself on
scores of zeros; what raises is left out, and so are tokens that the vocabulary does not
have and ways of decoding that neither transformers nor the engine does any more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch
from transformers import GenerationConfig

from models.errors import CannotLoad
from models.loading.stops import StopStrings, TokenBytes

logger = logging.getLogger(__name__)

#: What decides how tokens are chosen and is not done here, with the words for it.
_NOT_DONE = {
    "penalty_alpha": "contrastive search",
    "dola_layers": "decoding by contrasting layers",
    "num_beam_groups": "group beam search",
    "diversity_penalty": "group beam search",
    "constraints": "constrained beam search",
    "force_words_ids": "constrained beam search",
    "prompt_lookup_num_tokens": "guessing tokens ahead",
    "assistant_early_exit": "guessing tokens ahead",
    "use_mtp": "guessing tokens ahead",
    "is_assistant": "guessing tokens ahead",
    "token_healing": "token healing",
    "max_time": "a limit that makes results depend on the machine's speed",
}
_NEUTRAL: dict[str, Any] = {"num_beam_groups": 1, "diversity_penalty": 0.0}
#: What decides how `generate` computes and reports, which is decided here.
_OURS = (
    "return_dict_in_generate", "output_scores", "output_logits", "output_attentions", "output_hidden_states",
    "cache_implementation", "cache_config", "max_cache_len", "compile_config", "prefill_chunk_size",
    "low_memory", "continuous_batching_config",
)  # fmt: skip
_TOKEN_LISTS = ("suppress_tokens", "begin_suppress_tokens")
_TRIED = (
    "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff",
    "repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "bad_words_ids", "sequence_bias", "suppress_tokens",
    "begin_suppress_tokens", "min_length", "min_new_tokens", "forced_bos_token_id",
    "forced_eos_token_id", "exponential_decay_length_penalty", "remove_invalid_values",
    "renormalize_logits",
)  # fmt: skip
#: The most that a client may ask for (`jobs/params`), which holds for a model's own settings too: a
#: number of beams is memory, and a document of a million of them ended the worker.
MOST: dict[str, float] = {
    "num_beams": 64, "num_return_sequences": 64, "max_new_tokens": 1_000_000, "max_length": 1_000_000,
    "min_new_tokens": 1_000_000, "top_k": 1_000_000, "temperature": 100, "repetition_penalty": 100,
    "length_penalty": 10, "no_repeat_ngram_size": 1000,
}  # fmt: skip
#: The least, likewise: scores are divided by these in float32 and would overflow.
LEAST: dict[str, float] = {"temperature": 1e-20, "repetition_penalty": 1e-6}
_LENGTHS = (1, 2, 5)  # of what is continued in a trial; a forced last token comes at the last
_PARTS_SHOWN = 60


def settle_defaults(model: Any, tokenizer: Any) -> tuple[str, ...]:
    """Makes a model's defaults such that they fail no document.

    Returns:
        What was left out, a sentence without its stop each.

    Raises:
        CannotLoad: transformers refuses them as a whole; the message is its own.
    """
    notes = tuple(_settled(model, tokenizer))
    for note in notes:
        logger.warning("generation_config not followed", extra={"action": "default_left_out", "reason": note})
    try:
        model._prepare_generation_config(None)[0].validate()
    except Exception as error:  # foreign code reading a foreign file
        raise CannotLoad(f"its generation_config is refused by transformers: {error}") from error
    return notes


def _settled(model: Any, tokenizer: Any) -> Iterator[str]:
    config: GenerationConfig = model.generation_config
    for name in _OURS:
        setattr(config, name, None)
    if isinstance(config.eos_token_id, list):
        config.eos_token_id = [token for token in config.eos_token_id if isinstance(token, int)] or None
    yield from _without_what_is_not_done(config)
    yield from _within_bounds(config)
    yield from _within_vocabulary(config, _num_tokens(model))
    yield from _greedy_at_zero(config)
    for name in _TRIED:
        error = _raised(model, name, getattr(config, name, None))
        if error is not None:
            yield _left_out(config, name, f"transformers refuses it ({error})")
    yield from _returnable(config)
    yield from _stoppable(config, tokenizer)


def _without_what_is_not_done(config: GenerationConfig) -> Iterator[str]:
    for name, words in _NOT_DONE.items():
        value = getattr(config, name, None)
        if value is not None and value is not False and value != _NEUTRAL.get(name):
            yield _left_out(config, name, f"{words} is not served")
        setattr(config, name, None)


def _within_bounds(config: GenerationConfig) -> Iterator[str]:
    """What is beyond what anybody may ask for becomes the most, or the least, that they may."""
    for name, most in MOST.items():
        value = getattr(config, name, None)
        if isinstance(value, int | float) and value > most:
            shown = str(value)[:_PARTS_SHOWN]
            setattr(config, name, type(value)(most))
            yield f"its own {name}={shown} is taken for {most}, the most that is served"
    for name, least in LEAST.items():
        value = getattr(config, name, None)
        if isinstance(value, int | float) and 0 < value < least:
            setattr(config, name, least)
            yield f"its own {name}={value} is taken for {least}, the least that is served"


def _within_vocabulary(config: GenerationConfig, num_tokens: int) -> Iterator[str]:
    """Lists of tokens and words without those that can never come up."""

    def is_known(tokens: Any) -> bool:
        return all(isinstance(token, int) and 0 <= token < num_tokens for token in tokens)

    for name in _TOKEN_LISTS:
        tokens = getattr(config, name, None)
        if isinstance(tokens, list) and not is_known(tokens):
            yield from _shortened(config, name, tokens, [token for token in tokens if is_known([token])])
    words = config.bad_words_ids
    if isinstance(words, list) and all(isinstance(word, list) for word in words):
        yield from _shortened(config, "bad_words_ids", words, [word for word in words if is_known(word)])
    biases = config.sequence_bias
    if isinstance(biases, list) and all(isinstance(bias, list) and len(bias) == 2 for bias in biases):
        yield from _shortened(config, "sequence_bias", biases, [bias for bias in biases if is_known(bias[0])])


def _shortened(config: GenerationConfig, name: str, all_of_it: list[Any], kept: list[Any]) -> Iterator[str]:
    if len(kept) < len(all_of_it):
        setattr(config, name, kept or None)
        num_left_out = len(all_of_it) - len(kept)
        yield f"its own {name} has {num_left_out} entries beyond the vocabulary, which are left out"


def _greedy_at_zero(config: GenerationConfig) -> Iterator[str]:
    """Who writes a temperature of zero beside sampling means no sampling."""
    if config.do_sample and isinstance(config.temperature, int | float) and config.temperature == 0:
        config.do_sample = False
        config.temperature = None
        yield "its own generation_config samples at temperature 0: by default nothing is sampled"


def _returnable(config: GenerationConfig) -> Iterator[str]:
    wanted = config.num_return_sequences or 1
    if not config.do_sample and wanted > (config.num_beams or 1):
        yield _left_out(config, "num_return_sequences", "without sampling there are as many as beams at most")


def _stoppable(config: GenerationConfig, tokenizer: Any) -> Iterator[str]:
    if not config.stop_strings:
        config.stop_strings = None
        return
    try:
        strings = [config.stop_strings] if isinstance(config.stop_strings, str) else config.stop_strings
        StopStrings(strings, TokenBytes(tokenizer)).ends([0, 0])
    except Exception as error:  # foreign code reading a foreign file
        yield _left_out(config, "stop_strings", f"they cannot be looked for ({error})")


def _left_out(config: GenerationConfig, name: str, why: str) -> str:
    shown = str(getattr(config, name))
    if len(shown) > _PARTS_SHOWN:
        shown = f"{shown[:_PARTS_SHOWN]}..."
    setattr(config, name, None)
    return f"its own {name}={shown} is left out: {why}"


def _raised(model: Any, name: str, value: Any) -> Exception | None:
    """What one setting makes transformers raise, if anything."""
    if value is None:
        return None
    try:
        config = GenerationConfig(
            **{name: value}, do_sample=True, num_beams=1, max_length=_LENGTHS[-1] + 1, max_new_tokens=3
        )
        config._eos_token_tensor = _ends(model)
        ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
        processors = model._get_logits_processor(
            generation_config=config, input_ids_seq_length=1, encoder_input_ids=ids, device=str(model.device)
        )
        for length in _LENGTHS:
            scores = torch.zeros((1, _num_tokens(model)), device=model.device)
            processors(ids.expand(1, length), scores)
    except torch.AcceleratorError:
        raise
    except Exception as error:  # it checks settings wherever it first needs them
        return error
    return None


def _ends(model: Any) -> torch.Tensor | None:
    ends = model.generation_config.eos_token_id
    return None if ends is None else torch.tensor(ends, device=model.device).reshape(-1)


def _num_tokens(model: Any) -> int:
    """Tokens that the model has scores for."""
    head = model.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if isinstance(weight, torch.Tensor) and weight.dim() == 2:
        return int(weight.shape[0])
    return int(model.config.get_text_config().vocab_size)
