"""Models whose `generation_config.json` has defaults of its own, in a decoder and in an encoder-decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.zoo.entry import Entry, generation

_GPT2 = "gpt2: no pad, the end is the beginning"
#: What such files hold, by what it is.
_FOUND: Mapping[str, Mapping[str, Any]] = {
    "samples": {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20},
    "samples at temperature 0": {"do_sample": True, "temperature": 0.0},
    "temperature 0, does not sample": {"do_sample": False, "temperature": 0.0},
    "beams": {"num_beams": 4, "early_stopping": True, "length_penalty": 2.0, "no_repeat_ngram_size": 3},
    "minimum of new tokens": {"min_new_tokens": 6},
    "minimum length": {"min_length": 20},
    "minimum length, and samples": {"min_length": 20, "do_sample": True, "top_k": 10},
    "stop strings": {"stop_strings": ["e", "in"]},
    "suppressed tokens": {"suppress_tokens": [*range(20, 120)], "begin_suppress_tokens": [*range(120, 220)]},
    "suppressed tokens beyond the vocabulary": {"suppress_tokens": [5, 50_000]},
    "tokens suppressed at the beginning beyond the vocabulary": {"begin_suppress_tokens": [50_000]},
    "bad words": {"bad_words_ids": [[30], [40, 50], [60]]},
    "a bias": {"sequence_bias": [[[31], -8.0], [[41, 51], 4.0]]},
    "forced end": {"forced_eos_token_id": 2},
    "penalties": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    "an end that grows likelier": {"exponential_decay_length_penalty": [3, 1.4]},
    "min-p": {"do_sample": True, "min_p": 0.1},
    "typical-p": {"do_sample": True, "typical_p": 0.6},
    "epsilon and eta cut-offs": {"do_sample": True, "epsilon_cutoff": 0.02, "eta_cutoff": 0.02},
    "scores normalised": {"renormalize_logits": True, "num_beams": 3},
    "three returned": {"num_return_sequences": 3, "num_beams": 3},
    "a dictionary returned": {"return_dict_in_generate": True, "output_scores": True},
    "contrastive search": {"penalty_alpha": 0.6, "top_k": 4},
    "DoLa": {"dola_layers": "high"},
    "groups of beams": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    "prompt lookup": {"prompt_lookup_num_tokens": 3},
    "guidance": {"guidance_scale": 1.5},
    "no cache": {"use_cache": False},
    "a static cache": {"cache_implementation": "static"},
    "a watermark": {"watermarking_config": {"greenlist_ratio": 0.25, "bias": 2.0}},
}
#: Without a length of the document's own.
_LENGTHS: Mapping[str, Mapping[str, Any]] = {
    "maximum length 90": {"max_length": 90},
    "12 new tokens": {"max_new_tokens": 12},
    "minimum and maximum length": {"min_length": 70, "max_length": 80},
}
_QUICK = frozenset({
    "samples at temperature 0", "minimum length, and samples", "stop strings", "suppressed tokens",
    "suppressed tokens beyond the vocabulary", "forced end", "maximum length 90", "three returned",
})  # fmt: skip


def _both(what: str, defaults: Mapping[str, Any], *, has_own_lengths: bool) -> tuple[Entry, Entry]:
    quick, every = what in _QUICK, 0 if has_own_lengths else 16  # a limit shows where nothing else ends
    return (
        generation(f"GPT-2: {what}", "GPT2LMHeadModel", _GPT2, defaults=defaults,
                   has_own_lengths=has_own_lengths, is_quick=quick, ends_every=every),
        generation(f"BART: {what}", "BartForConditionalGeneration", "roberta", looks_closely=True,
                   defaults={"decoder_start_token_id": 2, **defaults}, has_own_lengths=has_own_lengths,
                   is_quick=quick, ends_every=every),
    )  # fmt: skip


DEFAULTS: tuple[Entry, ...] = (
    *(entry for what, found in _FOUND.items() for entry in _both(what, found, has_own_lengths=False)),
    *(entry for what, found in _LENGTHS.items() for entry in _both(what, found, has_own_lengths=True)),
    generation("BART: forced first token", "BartForConditionalGeneration", "roberta", looks_closely=True,
               defaults={"decoder_start_token_id": 2, "forced_bos_token_id": 0}),
    generation("BART: the prompt's words cost more", "BartForConditionalGeneration", "roberta",
               looks_closely=True, defaults={
                   "decoder_start_token_id": 2, "encoder_repetition_penalty": 1.5,
                   "encoder_no_repeat_ngram_size": 2}),
    generation("Llama: every second token ends", "LlamaForCausalLM", "llama3: begins with BOS, no pad",
               ends_every=2, is_quick=True),
    generation("RWKV: minimum length", "RwkvForCausalLM", _GPT2, {"attention_hidden_size": 32},
               defaults={"min_length": 20}),
    generation("Mamba: stop strings", "MambaForCausalLM", _GPT2, {"state_size": 8},
               defaults={"stop_strings": ["e", "in"]}),
)  # fmt: skip
