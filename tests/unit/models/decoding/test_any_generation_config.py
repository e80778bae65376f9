"""No `generation_config`, tokenizer or document's parameters end the process or touch another document."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import transformers as hf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.params import GenerationParams
from models.decoding.parameters.prompt import Decoded
from models.errors import CannotLoad
from models.loading.defaults import LEAST, MOST
from models.loading.device import Device
from models.loading.registry import LoadedModel
from models.records import DocumentInput, DocumentOutput
from models.tasks.decoding_core import decoding_core
from models.tasks.generation import GenerationEngine
from tests.support.decoding import is_same
from tests.support.random_models import (
    DECODER,
    ENCODER_DECODER,
    EOS,
    NUM_TOKENS,
    PAD,
    alone,
    decode_all,
    load_random,
    random_documents,
    save_random,
)
from tests.zoo.slow_tokenizers import SLOW
from tests.zoo.tokenizers import KINDS
from tests.zoo.tokenizers import tokenizer as made_tokenizer

WithDefaults = Callable[..., tuple[LoadedModel, Any]]

_KINDS: dict[str, tuple[Any, Any]] = {
    "engine": (hf.LlamaConfig(**DECODER), hf.LlamaForCausalLM),
    "generate": (
        hf.BloomConfig(vocab_size=NUM_TOKENS, hidden_size=32, n_layer=2, n_head=4, pad_token_id=PAD),
        hf.BloomForCausalLM,
    ),
    "encoder-decoder": (hf.BartConfig(**ENCODER_DECODER), hf.BartForConditionalGeneration),
}


@pytest.fixture(scope="module")
def with_defaults(tmp_path_factory: pytest.TempPathFactory, cpu: Device) -> WithDefaults:
    """A model loaded with these defaults of its own, and the same as transformers loads it."""

    @cache
    def weights(kind: str, tokenizer: str | None) -> Path:
        config, model_class = _KINDS[kind]
        folder = tmp_path_factory.mktemp(kind)
        if tokenizer is None:
            return save_random(folder, config, model_class)
        made = made_tokenizer(tokenizer, tmp_path_factory.mktemp("scratch"))
        config = copy.deepcopy(config)
        config.vocab_size = max(NUM_TOKENS, len(made))
        save_random(folder, config, model_class)
        for path in folder.glob("*token*"):
            path.unlink()
        made.save_pretrained(folder)
        return folder

    def make(kind: str, tokenizer: str | None = None, **defaults: Any) -> tuple[LoadedModel, Any]:
        config = hf.GenerationConfig(
            bos_token_id=0, eos_token_id=EOS, pad_token_id=PAD, decoder_start_token_id=EOS
        )
        for name, value in defaults.items():  # as a file may have it, with nobody checking
            setattr(config, name, value)
        folder = weights(kind, tokenizer)
        (folder / "generation_config.json").write_text(config.to_json_string(use_diff=False))
        plain = _KINDS[kind][1].from_pretrained(folder).eval()
        return load_random(folder, cpu), plain

    return make


_FOLLOWED: dict[str, dict[str, Any]] = {
    "many end tokens": {"eos_token_id": list(range(1, 60)), "min_new_tokens": 4},
    "many end tokens and beams": {
        "eos_token_id": list(range(1, 150)), "min_new_tokens": 4, "num_beams": 4,
    },
    "end tokens beyond the vocabulary": {"eos_token_id": [EOS, 50_257], "min_new_tokens": 4},
    "end tokens beyond the vocabulary and beams": {
        "eos_token_id": [50_257, EOS], "min_new_tokens": 4, "num_beams": 3,
    },
    "end tokens beyond the vocabulary, sampled with penalties": {
        "eos_token_id": [50_257, EOS], "min_length": 9, "do_sample": True, "repetition_penalty": 1.3,
    },
    "no end token": {"eos_token_id": None},
    "no padding token": {"pad_token_id": None},
    "minimum length": {"min_length": 9},
    "suppressed": {"suppress_tokens": list(range(3, 100)), "begin_suppress_tokens": list(range(100, 200))},
    "suppressed beyond the vocabulary": {"suppress_tokens": [5, 50_257], "begin_suppress_tokens": [50_300]},
    "forced first and last": {"forced_bos_token_id": 9, "forced_eos_token_id": 7},
    "forced last, one of two": {"forced_eos_token_id": [7, 9]},
    "forced last, one of two, and beams": {
        "forced_eos_token_id": [7, 9], "num_beams": 3, "num_return_sequences": 2,
    },
    "bad words": {"bad_words_ids": [[5], [6, 7]], "sequence_bias": [[[8, 9], 2.0], [[12], -3.0]]},
    "decaying end": {"exponential_decay_length_penalty": [2, 1.2]},
    "penalties on the source": {"encoder_repetition_penalty": 1.4, "encoder_no_repeat_ngram_size": 2},
    "penalties": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    "normalised": {"renormalize_logits": True, "remove_invalid_values": True},
    "sampled by default": {"do_sample": True, "top_p": 0.8, "min_new_tokens": 5, "typical_p": 0.9},
    "beams by default": {"num_beams": 3, "num_return_sequences": 2, "early_stopping": True},
    "stop strings": {"stop_strings": ["a", "e"]},
    "guided": {"guidance_scale": 1.5},
    "without a cache": {"use_cache": False},
    "reports": {"return_dict_in_generate": True, "output_scores": True, "output_hidden_states": True},
}  # fmt: skip


@pytest.mark.parametrize("kind", list(_KINDS))
@pytest.mark.parametrize("defaults", list(_FOLLOWED.values()), ids=list(_FOLLOWED))
def test_a_models_own_defaults_are_followed_as_by_transformers(
    kind: str, defaults: dict[str, Any], with_defaults: WithDefaults
) -> None:
    loaded, plain = with_defaults(kind, **defaults)
    options: dict[str, Any] = {"tokenizer": loaded.tokenizer} if "stop_strings" in defaults else {}
    if "return_dict_in_generate" in defaults:
        options["return_dict_in_generate"] = False
    prompts = random_documents(
        loaded, 6, longest=12, parameters=[{}, {"min_new_tokens": 6}, {"do_sample": True, "top_k": 9}]
    )
    results = decode_all(decoding_core(loaded), prompts)
    for place, prompt in enumerate(prompts):
        theirs, ours = alone(plain, prompt, **options), results[place]
        assert isinstance(theirs, list), theirs
        assert isinstance(ours, Decoded), ours
        assert is_same(ours, theirs, {PAD, EOS, 0}), (prompt, theirs, ours)


@pytest.mark.parametrize("kind", list(_KINDS))
def test_a_document_may_switch_its_models_stop_strings_off(kind: str, with_defaults: WithDefaults) -> None:
    """`stop: []` fell back to what it was to switch off: greedy, sampled, by beams, by `generate`."""
    loaded, plain = with_defaults(kind, stop_strings=["a", "e"])
    ways: list[dict[str, Any]] = [
        {}, {"do_sample": True, "top_k": 9}, {"num_beams": 3}, {"no_repeat_ngram_size": 2},
    ]  # fmt: skip
    told = random_documents(loaded, 8, longest=12, parameters=[{**way, "stop": []} for way in ways])
    untold = random_documents(loaded, 8, longest=12, parameters=ways)
    stopped = decode_all(decoding_core(loaded), untold)
    results = decode_all(decoding_core(loaded), told)
    plain.generation_config.stop_strings = None
    for place, prompt in enumerate(told):
        theirs, ours = alone(plain, prompt), results[place]
        assert isinstance(theirs, list), theirs
        assert isinstance(ours, Decoded), ours
        assert is_same(ours, theirs, {PAD, EOS, 0}), (prompt, theirs, ours)
    assert results != stopped, "the strings end some of them"


_LEFT_OUT: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.0},
    "top_k": {"do_sample": True, "top_k": -1},
    "repetition_penalty": {"repetition_penalty": 0.0},
    "penalty_alpha": {"penalty_alpha": 0.6, "top_k": 4},
    "dola_layers": {"dola_layers": "high"},
    "num_beam_groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.3},
    "force_words_ids": {"num_beams": 4, "force_words_ids": [[5]]},
    "prompt_lookup_num_tokens": {"prompt_lookup_num_tokens": 3},
    "bad_words_ids": {"bad_words_ids": [[50_257]]},
    "forced_eos_token_id": {"forced_eos_token_id": 50_257},
    "max_time": {"max_time": 1e-6},
    "token_healing": {"token_healing": True},
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("engine", name) for name in _LEFT_OUT), ("generate", "temperature"), ("generate", "penalty_alpha")],
)
def test_what_is_not_served_is_left_out_and_said(kind: str, name: str, with_defaults: WithDefaults) -> None:
    defaults = _LEFT_OUT[name]
    loaded, plain = with_defaults(kind, **defaults)
    assert any(name in note for note in loaded.notes)
    core = decoding_core(loaded)
    assert name in core.facts["why"]
    kept = hf.GenerationConfig(
        bos_token_id=0, eos_token_id=EOS, pad_token_id=PAD, decoder_start_token_id=EOS,
        num_beams=defaults.get("num_beams"), do_sample=defaults.get("do_sample"),
    )  # fmt: skip
    plain.generation_config = kept
    prompts = random_documents(loaded, 4, longest=9, parameters=[{}, {"do_sample": True, "top_k": 8}])
    results = decode_all(core, prompts)
    for place, prompt in enumerate(prompts):
        theirs, ours = alone(plain, prompt), results[place]
        assert isinstance(theirs, list)
        assert isinstance(ours, Decoded), ours
        assert is_same(ours, theirs, {PAD, EOS}), (prompt, theirs, ours)


@pytest.mark.parametrize("kind", list(_KINDS))
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("num_beams", 1_000_000),
        ("num_return_sequences", 5000),
        ("max_new_tokens", 10**9),
        ("length_penalty", 1e6),
        ("no_repeat_ngram_size", 10**7),
        ("temperature", 1e9),
    ],
)
def test_a_models_own_settings_are_bounded_as_a_clients(
    kind: str, name: str, asked: float, with_defaults: WithDefaults
) -> None:
    """S15b: num_beams=1000000 in a folder's generation_config ended the worker at the first document."""
    more = {"num_beams": 1} if name != "num_beams" else {}
    loaded, _ = with_defaults(kind, **{**more, "do_sample": name != "num_beams", name: asked})
    assert getattr(loaded.model.generation_config, name) == MOST[name]
    assert any(f"its own {name}=" in note and "most" in note for note in loaded.notes)


def test_the_bounds_are_those_of_a_clients_parameters() -> None:
    for name, most in MOST.items():
        for value, is_fine in ((most, True), (most + 1, False)):
            as_written = value if name in _NUMBERS else int(value)
            errors = _problems({name: as_written})
            assert (name not in errors) == is_fine, (name, value)
    for name, least in LEAST.items():
        assert name not in _problems({name: least})
        assert name in _problems({name: least / 10})


@pytest.mark.parametrize("name", ["temperature", "repetition_penalty"])
def test_what_a_model_divides_by_does_not_overflow(name: str, with_defaults: WithDefaults) -> None:
    """A relative of "temperature": 0.0: at 1e-40 scores overflowed, and the first tokens of all came out."""
    loaded, _ = with_defaults("engine", **{"do_sample": True, name: 1e-40})
    assert getattr(loaded.model.generation_config, name) == LEAST[name]
    assert any(f"its own {name}=1e-40" in note and "least" in note for note in loaded.notes)


_NUMBERS = {"temperature", "repetition_penalty", "length_penalty"}


def _problems(params: dict[str, Any]) -> set[str]:
    try:
        GenerationParams.model_validate(params)
    except ValidationError as error:
        return {str(each["loc"][0]) for each in error.errors()}
    return set()


def test_sampling_at_temperature_zero_by_default_is_greedy(with_defaults: WithDefaults) -> None:
    loaded, plain = with_defaults("engine", do_sample=True, temperature=0.0)
    plain.generation_config = hf.GenerationConfig(bos_token_id=0, eos_token_id=EOS, pad_token_id=PAD)
    prompts = random_documents(loaded, 4, longest=9, parameters=[{}])
    results = decode_all(decoding_core(loaded), prompts)
    assert [results[place].sequences for place in range(4)] == [alone(plain, prompt) for prompt in prompts]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "defaults", [{"decoder_start_token_id": None, "bos_token_id": None}], ids=["no start token"]
)
def test_defaults_without_which_nothing_can_be_decoded_are_refused_at_loading(
    defaults: dict[str, Any], with_defaults: WithDefaults
) -> None:
    loaded, _ = with_defaults("encoder-decoder", **defaults)
    with pytest.raises(CannotLoad, match="decoder_start_token_id"):
        decoding_core(loaded)


# All of them at random.

#: Without CANINE's, which has a token for each character of Unicode.
_TOKENIZERS = sorted(kind for kind in [*KINDS, *SLOW] if "canine" not in kind)

_TOKEN = st.integers(-1, NUM_TOKENS + 100)
_DEFAULTS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, -1.0, 0.5, 3.0, 1e-9]),
        "top_k": st.sampled_from([-1, 0, 1, 5, 100_000]),
        "top_p": st.sampled_from([0.0, 0.3, 1.0, 2.0]),
        "min_p": st.sampled_from([-1.0, 0.2, 1.0]),
        "typical_p": st.sampled_from([0.0, 0.5, 1.0]),
        "do_sample": st.booleans(),
        "num_beams": st.sampled_from([1, 2, 5]),
        "num_return_sequences": st.sampled_from([1, 2, 6]),
        "repetition_penalty": st.sampled_from([0.0, 0.5, 1.3]),
        "no_repeat_ngram_size": st.sampled_from([-1, 0, 2]),
        "min_length": st.sampled_from([-1, 0, 4, 1000]),
        "min_new_tokens": st.sampled_from([0, 3, 1000]),
        "eos_token_id": st.one_of(st.none(), _TOKEN, st.lists(_TOKEN, max_size=300)),
        "pad_token_id": st.one_of(st.none(), _TOKEN),
        "suppress_tokens": st.lists(_TOKEN, max_size=40),
        "begin_suppress_tokens": st.lists(_TOKEN, max_size=40),
        "bad_words_ids": st.lists(st.lists(_TOKEN, max_size=3), max_size=4),
        "sequence_bias": st.lists(
            st.tuples(st.lists(_TOKEN, max_size=3), st.sampled_from([1.0, -2.0])).map(list), max_size=3
        ),
        "forced_bos_token_id": _TOKEN,
        "forced_eos_token_id": st.one_of(_TOKEN, st.lists(_TOKEN, max_size=3)),
        "exponential_decay_length_penalty": st.sampled_from([[1, 1.1], [0], [5, 0.0]]),
        "length_penalty": st.sampled_from([-3.0, 0.0, 2.0]),
        "early_stopping": st.sampled_from([True, False, "never"]),
        "stop_strings": st.sampled_from(["a", ["the", ""], [], ["e"]]),
        "renormalize_logits": st.booleans(),
        "penalty_alpha": st.sampled_from([0.0, 0.6]),
        "num_beam_groups": st.sampled_from([1, 2]),
        "cache_implementation": st.sampled_from(["static", "offloaded", "quantized", "dynamic"]),
        "max_time": st.sampled_from([0.0, 1.0]),
        "guidance_scale": st.sampled_from([1.0, 2.0]),
        "return_dict_in_generate": st.booleans(),
    },
)
_PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "do_sample": st.booleans(),
        "temperature": st.sampled_from([0.0, 0.1, 2.0]),
        "top_k": st.sampled_from([0, 1, 7]),
        "top_p": st.sampled_from([0.01, 1.0]),
        "num_beams": st.integers(1, 4),
        "num_return_sequences": st.integers(1, 3),
        "min_new_tokens": st.sampled_from([0, 2, 50]),
        "max_new_tokens": st.integers(1, 6),
        "repetition_penalty": st.sampled_from([0.1, 2.0]),
        "no_repeat_ngram_size": st.sampled_from([0, 1]),
        "length_penalty": st.sampled_from([-1.0, 1.5]),
        "early_stopping": st.sampled_from([True, False, "never"]),
        "stop": st.sampled_from([["a"], ["zz", "e"], []]),
        "seed": st.sampled_from([0, 1, 2**31, 2**70]),
    },
)


@settings(
    max_examples=14,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    kind=st.sampled_from(list(_KINDS)),
    tokenizer=st.sampled_from(_TOKENIZERS),
    defaults=_DEFAULTS,
    params=st.lists(_PARAMS, min_size=2, max_size=5),
)
def test_any_defaults_tokenizer_and_parameters_leave_every_other_document_as_it_is(
    kind: str,
    tokenizer: str,
    defaults: dict[str, Any],
    params: list[dict[str, Any]],
    with_defaults: WithDefaults,
) -> None:
    """Every document is settled once, and as it would be by itself."""
    try:
        loaded, _ = with_defaults(kind, tokenizer, **defaults)
        engine = GenerationEngine(loaded)
    except (CannotLoad, ValueError):  # said at loading, once; transformers' own check of the file
        return
    documents = [
        DocumentInput(key=key, text="the old clock in the hall"[key:], params=_seeded(each))
        for key, each in enumerate(params)
    ]
    together = _outcomes(engine, documents)
    for document in documents:
        assert _outcomes(engine, [document])[document.key] == together[document.key]


def _seeded(params: dict[str, Any]) -> dict[str, Any]:
    return {"seed": 4, "max_new_tokens": 4, **params}


def _outcomes(engine: GenerationEngine, documents: list[DocumentInput]) -> dict[Any, DocumentOutput]:
    engine.submit(documents)
    outcomes: dict[Any, DocumentOutput] = {}
    while engine.has_work:
        for output in engine.step():
            assert output.key not in outcomes, "settled twice"
            outcomes[output.key] = output
    assert set(outcomes) == {document.key for document in documents}
    return outcomes
