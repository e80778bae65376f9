"""More architectures, languages, ends and accidents of encoder-decoders by the decoding engine."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from models.decoding.group_core import GroupCore
from models.decoding.parameters.prompt import Decoded, Prompt, PromptMaker
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.encoder_decoder import EncoderDecoderForward
from models.errors import DocumentError, NotFinite
from models.loading.device import Device
from models.loading.registry import LoadedModel
from tests.support import groups
from tests.support.decoding import decode_with_random_arrivals, expect_each_alone, generate_alone, is_same
from tests.support.groups import BEAMS, TIGHT, make_group_core, prompts_of
from tests.support.random_models import ENCODER_DECODER, EOS, NUM_TOKENS, PAD, load_random, save_random
from tests.support.tiny_models import Loader, TinyModels

_T5 = {
    "vocab_size": NUM_TOKENS, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
    "pad_token_id": PAD, "eos_token_id": EOS, "decoder_start_token_id": PAD,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16,
}  # fmt: skip
_ARCHITECTURES: dict[str, tuple[Any, Any, Layout]] = {
    "mBART": (hf.MBartConfig(**ENCODER_DECODER), hf.MBartForConditionalGeneration, Layout.PACKED),
    "Pegasus": (hf.PegasusConfig(**ENCODER_DECODER), hf.PegasusForConditionalGeneration, Layout.ROWS),
    "M2M100": (hf.M2M100Config(**ENCODER_DECODER), hf.M2M100ForConditionalGeneration, Layout.ROWS),
    "mT5": (
        hf.MT5Config(**_T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        hf.MT5ForConditionalGeneration,
        Layout.ROWS,
    ),
    "UMT5": (hf.UMT5Config(**_T5), hf.UMT5ForConditionalGeneration, Layout.ROWS),
}


@pytest.fixture(autouse=True, params=["reference", "cpu"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs by plain torch and by the kernels of CPUs."""
    monkeypatch.setattr(groups, "kernels", request.param)


def _compare(
    model: LoadedModel, core: GroupCore, prompts: list[Prompt], plain: Any, padding: set[int]
) -> list[Any]:
    assert all(map(core.serves, prompts))
    results = decode_with_random_arrivals(core, prompts, seed=2)
    expect_each_alone(results, prompts, plain, model.tokenizer, padding)
    return [results[place] for place in range(len(prompts))]


@pytest.mark.parametrize("name", list(_ARCHITECTURES))
def test_documents_of_more_architectures_equal_each_alone(name: str, tmp_path: Path, cpu: Device) -> None:
    config, model_class, layout = _ARCHITECTURES[name]
    model = load_random(save_random(tmp_path / "model", config, model_class), cpu)
    plain = model_class.from_pretrained(tmp_path / "model").eval()
    core, _ = make_group_core(model, layout=layout)
    prompts = prompts_of(model, 16, seed=4, ways=({}, *BEAMS))
    results = _compare(model, core, prompts, plain, {PAD, EOS})
    said = {token for result in results for ids in result.sequences for token in ids}
    assert len(said) > 12, "a model that repeats itself would hide what it sees"


def test_a_language_is_the_first_token_and_any_of_several_tokens_ends(
    loaded: Loader, tiny_models: TinyModels
) -> None:
    """NLLB: the target language is forced; ends are frequent tokens, so that searches end everywhere."""
    model = loaded("translation", "nllb")
    plain: Any = hf.AutoModelForSeq2SeqLM.from_pretrained(tiny_models["nllb"]).eval()
    maker, draw = PromptMaker(model), random.Random(3)
    texts = [[draw.randrange(4, 200) for _ in range(draw.randint(1, 40))] + [2] for _ in range(20)]
    language = int(model.tokenizer.convert_tokens_to_ids("deu_Latn"))
    said = Counter(
        token
        for ids in texts
        for token in plain.generate(
            torch.tensor([ids]), max_new_tokens=8, num_beams=3, forced_bos_token_id=language
        )[0, 2:].tolist()
    )
    ends = [2, *(token for token, _ in said.most_common(6) if token not in (2, language))][:4]
    before = model.model.generation_config.eos_token_id
    model.model.generation_config.eos_token_id = plain.generation_config.eos_token_id = ends
    try:
        core, _ = make_group_core(model, layout=Layout.ROWS)
        ways = ({}, {"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2, "length_penalty": 0.0})
        prompts = [
            maker.make(
                ids, draw.choice(ways), max_new_tokens=draw.randint(1, 9), forced_bos_token_id=language
            )
            for ids in texts
        ]
        results = _compare(model, core, prompts, plain, {*ends, model.tokenizer.pad_token_id})
    finally:
        model.model.generation_config.eos_token_id = before
    assert {result.sequences[0][0] for result in results} == {language}
    assert len({result.sequences[0][-1] for result in results if result.is_stopped[0]}) > 1


def test_documents_that_end_with_their_first_token_leave_their_seats(
    loaded: Loader, tiny_models: TinyModels
) -> None:
    model = loaded("translation", "bart")
    plain: Any = hf.AutoModelForSeq2SeqLM.from_pretrained(tiny_models["bart"]).eval()
    core, _ = make_group_core(model, layout=Layout.PACKED)
    prompts = [
        dataclasses.replace(prompt, max_new_tokens=1)
        for prompt in prompts_of(model, 15, seed=1, ways=({}, {"num_beams": 3}))
    ]
    _compare(model, core, prompts, plain, {model.tokenizer.pad_token_id, model.tokenizer.eos_token_id})
    assert not core.scheduler.running


def test_a_source_that_cannot_be_read_fails_alone(
    loaded: Loader, tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("translation", "t5")
    plain: Any = hf.AutoModelForSeq2SeqLM.from_pretrained(tiny_models["t5"]).eval()
    core, program = make_group_core(model)
    prompts = prompts_of(model, 12, seed=9, ways=({"num_beams": 2},))
    poison = 77
    prompts[5] = dataclasses.replace(prompts[5], input_ids=[poison] * 9)
    encode = EncoderDecoderForward.encode

    def picky(self: Any, ids: Any, mask: Any) -> Any:
        if (ids == poison).all(dim=1).any():
            raise ValueError("cannot read this")
        return encode(self, ids, mask)

    monkeypatch.setattr(EncoderDecoderForward, "encode", picky)
    results = decode_with_random_arrivals(core, prompts, seed=2)
    failure = results.pop(5)
    assert isinstance(failure, DocumentError)
    assert "cannot read this" in str(failure)
    padding = {model.tokenizer.pad_token_id, model.tokenizer.eos_token_id}
    for place, result in results.items():
        assert isinstance(result, Decoded)
        alone = generate_alone(plain, model.tokenizer, prompts[place])  # type: ignore[index]
        assert is_same(result, alone, padding)
    assert program.pages.num_bytes == 0


def test_a_source_whose_states_are_no_numbers_fails_alone(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("translation", "nllb")
    core, _ = make_group_core(model)
    prompts = prompts_of(model, 8, seed=6, ways=({"num_beams": 3},))
    poison = 77
    prompts[2] = dataclasses.replace(prompts[2], input_ids=[poison] * 9)
    encode = EncoderDecoderForward.encode

    def spoiled(self: Any, ids: Any, mask: Any) -> Any:
        states = encode(self, ids, mask)
        states[(ids[:, 0] == poison)] = torch.nan
        return states

    monkeypatch.setattr(EncoderDecoderForward, "encode", spoiled)
    results = decode_with_random_arrivals(core, prompts, seed=2)
    assert isinstance(results.pop(2), NotFinite)
    assert all(isinstance(result, Decoded) for result in results.values())


def test_what_a_group_cannot_do_is_not_served(loaded: Loader) -> None:
    model = loaded("translation", "t5")
    core, _ = make_group_core(model)
    plain = Prompt(input_ids=[5, 6], max_new_tokens=9, params={})
    assert core.serves(plain)
    assert not core.serves(dataclasses.replace(plain, params={"num_beams": TIGHT.max_rows + 1}))
    assert not core.serves(dataclasses.replace(plain, params={"num_beams": 2, "num_return_sequences": 3}))
    assert not core.serves(dataclasses.replace(plain, params={"do_sample": True}, seed=2**70))
    assert not core.serves(dataclasses.replace(plain, input_ids=[5] * 65)), "a source longer than its pages"
    assert not core.serves(dataclasses.replace(plain, max_new_tokens=TIGHT.max_entries + 1))


def test_sources_are_read_together_and_an_urgent_one_at_once(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("translation", "t5")
    limits = dataclasses.replace(TIGHT, max_rows=16, num_pages=200, chunk_sizes=(500,), max_begun=16)
    core, _ = make_group_core(model, limits)
    sizes: list[int] = []
    encode = EncoderDecoderForward.encode

    def counted(self: Any, ids: Any, mask: Any) -> Any:
        sizes.append(len(ids))
        return encode(self, ids, mask)

    monkeypatch.setattr(EncoderDecoderForward, "encode", counted)
    lengths = [2 + 7 * number % 23 for number in range(40)]  # hardly two end in the same step
    prompts = [Prompt(input_ids=[9, 8], max_new_tokens=n, params={"min_new_tokens": n}) for n in lengths]
    for number, prompt in enumerate(prompts):
        core.add(number, prompt, priority=6)
    while len(sizes) < 2:
        core.step()
    core.add("urgent", prompts[0], priority=1)
    core.step()
    assert "urgent" in core.scheduler.running
    while core.has_work:
        core.step()
    assert sum(sizes) == 41
    assert len(sizes) < 20, len(sizes)
