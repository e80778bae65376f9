"""How long outputs are, and whether they say that they were cut, against transformers' own `generate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from models.loading.device import Device
from models.loading.registry import LoadedModel, load_model
from models.records import DocumentInput, DocumentOutput, ModelSpec
from models.tasks.generation import DEFAULT_NEW_TOKENS, GenerationEngine
from models.tasks.translation.task import TranslationEngine
from tests.support.engines import drain
from tests.support.tiny_models import SENTENCES, Loader, TinyModels

_NO_END = {"eos_token_id": 1_000}  # a token that no tiny model has: nothing ends by itself


@pytest.fixture
def configured(loaded: Loader) -> Iterator[Any]:
    """Loads a model with another generation config, which is put back afterwards."""
    changed: list[tuple[Any, dict[str, Any]]] = []

    def load(task: str, name: str, **values: Any) -> LoadedModel:
        model = loaded(task, name)
        config: Any = model.model.generation_config
        changed.append((config, {key: getattr(config, key) for key in values}))
        config.update(**values)
        return model

    yield load
    for config, values in reversed(changed):
        config.update(**values)


def _generated(model: LoadedModel, text: str, params: Mapping[str, Any]) -> DocumentOutput:
    return drain(GenerationEngine(model), [DocumentInput(key=0, text=text, params=params)])[0]


def _alone(model: Any, text: str, **options: Any) -> int:
    """How many new tokens transformers makes of the text."""
    return len(_tokens(model, text, **options))


def _tokens(model: Any, text: str, **options: Any) -> list[int]:
    inputs = model.tokenizer(text, return_tensors="pt")
    produced = model.model.generate(**inputs, **options, pad_token_id=0)
    start = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    return list(produced[0, start:].tolist())


@pytest.mark.parametrize(
    "limits",
    [{"max_length": 40}, {"max_length": 60}, {"max_new_tokens": 9}, {"max_length": 40, "max_new_tokens": 9}],
)
@pytest.mark.parametrize("name", ["gpt2", "llama", "bart", "t5"])
def test_the_models_own_limit_holds_when_the_client_names_none(
    name: str, limits: dict[str, int], configured: Any
) -> None:
    """W9: `generation_config.max_length` was ignored; 128 tokens came whatever it said."""
    model = configured("generation", name, **limits, forced_eos_token_id=None, **_NO_END)
    output = _generated(model, "the dog", {})
    assert output.output_tokens == _alone(model, "the dog")
    most = limits.get("max_new_tokens", limits.get("max_length", 0) - 1)
    assert GenerationEngine(model).describe()["new_tokens_by_default"] == most
    assert output.output is not None
    assert output.output["finish_reason"] == "length"


@pytest.mark.parametrize(
    "params",
    [{"max_length": 8}, {"max_length": 12}, {"max_new_tokens": 5}, {"max_length": 20, "min_new_tokens": 6}],
)
@pytest.mark.parametrize("name", ["gpt2", "llama", "bart", "t5"])
def test_a_clients_limit_counts_as_in_transformers(
    name: str, params: dict[str, int], configured: Any
) -> None:
    """W10: `max_length=5` gave an encoder-decoder 5 new tokens; its start token counts."""
    endless = {} if "min_new_tokens" in params else _NO_END
    model = configured("generation", name, max_length=30, forced_eos_token_id=None, **endless)
    output = _generated(model, "the dog", params)
    assert output.output_tokens == _alone(model, "the dog", **params)


@pytest.mark.parametrize("name", ["marian", "t5", "nllb"])
def test_the_start_token_counts_in_translations_too(name: str, configured: Any) -> None:
    """W10."""
    model = configured("translation", name, **_NO_END)
    params: dict[str, Any] = {"max_length": 5}
    if name == "nllb":
        params["target_language"] = "deu_Latn"
    output = drain(TranslationEngine(model), [DocumentInput(key=0, text="the dog", params=params)])[0]
    assert output.output_tokens == 4
    assert output.output is not None
    assert (output.truncated, output.output["finish_reason"]) == (True, "length")


def test_a_clients_max_length_goes_before_the_models_max_new_tokens(configured: Any) -> None:
    """transformers would go by the model's and warn in a log that nobody reads."""
    model = configured("generation", "bart", max_new_tokens=20, forced_eos_token_id=None, **_NO_END)
    assert _generated(model, "the dog", {"max_length": 5}).output_tokens == 4


def test_our_own_limit_is_used_when_nobody_names_one(configured: Any) -> None:
    model = configured("generation", "t5", **_NO_END)
    assert _generated(model, "the dog", {}).output_tokens == DEFAULT_NEW_TOKENS


def test_a_translations_own_limit_is_the_models_when_it_has_one(configured: Any) -> None:
    """W9: public Marian models say 512; only a model that says nothing is bounded by the source's length."""
    model = configured("translation", "marian", max_length=40, **_NO_END)
    output = drain(TranslationEngine(model), [DocumentInput(key=0, text="the dog")])[0]
    assert output.output_tokens == 39 == _alone(model, "the dog")


def test_outputs_are_cut_where_the_models_positions_end(configured: Any) -> None:
    model = configured("generation", "gpt2", **_NO_END)
    prompt = "the old clock in the hall " * 8
    tokens = len(model.tokenizer(prompt)["input_ids"])
    output = _generated(model, prompt, {"max_new_tokens": 1000})
    assert output.output_tokens == 128 - tokens
    assert output.truncated


@pytest.mark.parametrize(("name", "max_length"), [("gpt2", 2), ("bart", 1)])
def test_a_limit_that_leaves_nothing_is_refused_with_the_reason(
    name: str, max_length: int, loaded: Loader
) -> None:
    output = _generated(loaded("generation", name), "the old clock", {"max_length": max_length})
    assert output.error_code == "too_long"
    assert "max_new_tokens counts new tokens alone" in (output.error_message or "")


def test_a_model_without_positions_reads_prompts_of_any_usual_length(loaded: Loader) -> None:
    """T5's positions are relative: 512 was our own invention."""
    model = loaded("generation", "t5")
    output = _generated(model, "the dog " * 400, {"max_new_tokens": 2})
    assert output.error_code is None
    assert output.input_tokens > 800


def _saved(model: Any, tokenizer: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_an_encoder_and_its_decoder_may_have_positions_of_their_own(
    tiny_models: TinyModels, tmp_path: Path, cpu: Device
) -> None:
    tokenizer = hf.AutoTokenizer.from_pretrained(tiny_models["bart"])
    config = hf.LEDConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, attention_window=8, pad_token_id=1,
        max_encoder_position_embeddings=128, max_decoder_position_embeddings=16, eos_token_id=None,
        forced_eos_token_id=None, decoder_start_token_id=2,
    )  # fmt: skip
    ref = _saved(hf.LEDForConditionalGeneration(config), tokenizer, tmp_path)
    model = load_model(ModelSpec(name="led", task="generation", ref=ref, dtype="float32"), cpu)
    fits, beyond = (_generated(model, "the dog " * count, {"max_new_tokens": 50}) for count in (25, 200))
    assert fits.input_tokens > 64  # what the tokenizer says
    assert fits.output_tokens == 15
    assert beyond.error_code == "too_long"
    assert "128" in (beyond.error_message or "")


def test_a_rope_that_scales_with_the_text_takes_prompts_beyond_its_positions(
    tiny_models: TinyModels, tmp_path: Path, cpu: Device
) -> None:
    """It was refused what the rope exists for."""
    tokenizer = hf.AutoTokenizer.from_pretrained(tiny_models["llama"])
    config = hf.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0},
    )  # fmt: skip
    ref = _saved(hf.LlamaForCausalLM(config), tokenizer, tmp_path)
    model = load_model(ModelSpec(name="d", task="generation", ref=ref, dtype="float32"), cpu)
    output = _generated(model, "the dog " * 40, {"max_new_tokens": 2})
    assert output.error_code is None, output.error_message
    assert output.input_tokens > 64


def test_positions_that_are_counted_from_behind_the_padding_are_fewer(
    tiny_models: TinyModels, tmp_path: Path, cpu: Device
) -> None:
    tokenizer = hf.AutoTokenizer.from_pretrained(tiny_models["bart"])
    config = hf.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=34, pad_token_id=1, eos_token_id=None, is_decoder=True,
    )  # fmt: skip
    ref = _saved(hf.RobertaForCausalLM(config), tokenizer, tmp_path)
    model = load_model(ModelSpec(name="r", task="generation", ref=ref, dtype="float32"), cpu)
    output = _generated(model, "the dog", {"max_new_tokens": 50})
    assert output.error_code is None, output.error_message
    assert output.input_tokens + output.output_tokens == 32


@pytest.mark.parametrize("name", ["marian", "t5", "bart", "nllb"])
def test_a_translation_that_was_cut_says_so(name: str, configured: Any) -> None:
    """W15: `max_new_tokens=3` cut the text, and the result said `truncated: false`."""
    model = configured("translation", name, **_NO_END)
    params: dict[str, Any] = {"max_new_tokens": 3}
    if name == "nllb":
        params["target_language"] = "deu_Latn"
    output = drain(TranslationEngine(model), [DocumentInput(key=0, text="The dog. The cat.", params=params)])[
        0
    ]
    assert output.output is not None
    assert output.truncated
    assert output.output["finish_reason"] == "length"


def test_one_sentence_that_was_cut_is_enough(configured: Any) -> None:
    """W15."""
    model = configured("translation", "marian")
    produced = {text: _tokens(model, text, max_new_tokens=10) for text in SENTENCES}
    ending, endless, end = next(
        (one, other, token)
        for one, tokens in produced.items()
        for token in tokens[:9]
        for other, others in produced.items()
        if token not in others
    )
    model = configured("translation", "marian", eos_token_id=end)
    answered = drain(
        TranslationEngine(model),
        [
            DocumentInput(key=key, text=text, params={"max_new_tokens": 10})
            for key, text in enumerate([ending, endless, f"{ending} {endless}", "12.5"])
        ],
    )
    found = [(answered[key].truncated, (answered[key].output or {})["finish_reason"]) for key in range(4)]
    assert found == [(False, "stop"), (True, "length"), (True, "length"), (False, "stop")]


def test_an_end_that_was_forced_at_the_limit_is_a_cut(configured: Any) -> None:
    """W15: such models write their end token wherever the limit is, and the result said "stop"."""
    model = configured("generation", "bart", eos_token_id=2, forced_eos_token_id=2)
    output = _generated(model, "the old clock", {"max_new_tokens": 3, "min_new_tokens": 2})
    assert output.output is not None
    assert output.output["finish_reason"] == "length"
    assert output.truncated


@pytest.mark.parametrize("name", ["gpt2", "bloom"])
def test_a_continuation_says_how_it_ended(name: str, configured: Any) -> None:
    """W15: for both ways of decoding."""
    model = configured("generation", name)
    first = model.tokenizer.decode(_tokens(model, "the dog", max_new_tokens=1))
    cut = _generated(model, "the dog", {"max_new_tokens": 1})
    stopped = _generated(model, "the dog", {"max_new_tokens": 8, "stop": [first.strip() or first]})
    assert cut.output is not None
    assert stopped.output is not None
    assert (cut.output["finish_reason"], cut.truncated) == ("length", True)
    assert (stopped.output["finish_reason"], stopped.truncated) == ("stop", False)
