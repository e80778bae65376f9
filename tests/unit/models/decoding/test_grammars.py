"""Texts that keep to grammars, held against llguidance's own matcher in a plain loop over transformers."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Sequence
from typing import Any

import jsonschema
import llguidance.hf
import numpy as np
import pytest
import torch
from llguidance import LLMatcher

from models.batching.generate import BatchDecoder
from models.batching.plan import Piece
from models.decoding.core import PagedCore
from models.decoding.grammars import masks
from models.decoding.grammars.grammar import Constraint
from models.decoding.grammars.processor import masked
from models.decoding.parameters.prompt import Decoded, Prompt, PromptMaker
from models.decoding.scheduling.request import Request
from models.errors import DocumentError, GrammarFailed, InvalidParameter
from models.loading.registry import LoadedModel
from models.proving.reference import Reference
from models.records import DocumentInput
from models.tasks.generation import GenerationEngine
from tests.support.engines import drain
from tests.support.paged import make_paged_core
from tests.support.tiny_models import WORDS, Loader

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "size": {"enum": ["klein", "groß", 3]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["name", "size", "tags"],
    "additionalProperties": False,
}
GRAMMARS: tuple[dict[str, Any], ...] = (
    {"json_schema": PERSON},
    {"regex": "[ab]{3,5}-[0-9]{1,3}x"},
    {"choice": ["yes", "no way", "vielleicht 😀"]},
    {"grammar": 'start: "(" start ")" | /[a-c]/'},
)


def _prompts(
    model: LoadedModel, params: Sequence[dict[str, Any]], count: int, most: int = 60
) -> list[Prompt]:
    draw = random.Random(11)
    maker = PromptMaker(model)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]
    return [
        maker.make(model.tokenizer(text)["input_ids"], params[number % len(params)], max_new_tokens=most)
        for number, text in enumerate(texts)
    ]


def _decoded(core: PagedCore, prompts: Sequence[Prompt]) -> list[Decoded | DocumentError]:
    for number, prompt in enumerate(prompts):
        core.add(number, prompt, priority=6)
    results: dict[Any, Decoded | DocumentError] = {}
    while core.has_work:
        results |= dict(core.step())
    return [results[number] for number in range(len(prompts))]


def _tokens(found: Sequence[Decoded | DocumentError]) -> list[list[int]]:
    assert all(isinstance(each, Decoded) for each in found), found
    return [each.sequences[0] for each in found if isinstance(each, Decoded)]


def _by_llguidance(model: LoadedModel, prompt: Prompt) -> list[int]:
    """The greedy tokens under a grammar, by transformers' forward and llguidance's own tokenizer and masks."""
    assert prompt.grammar is not None
    ends = model.model.generation_config.eos_token_id
    tokenizer = llguidance.hf.from_tokenizer(model.tokenizer, eos_token=ends)
    matcher = LLMatcher(tokenizer, prompt.grammar.notation)
    network: Any = model.model
    ids, new = list(prompt.input_ids), []
    while len(new) < prompt.max_new_tokens and ends not in new:
        with torch.inference_mode():
            scores = network(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float().numpy()
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
        allowed = np.zeros(len(scores), bool)
        allowed[: len(bits)] = bits[: len(scores)]
        token = int(np.where(allowed, scores, -np.inf).argmax())
        matcher.consume_token(token)
        ids.append(token)
        new.append(token)
    return new


@pytest.mark.parametrize("by", ["cpu", "reference"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_greedy_tokens_are_those_of_llguidances_own_loop(name: str, by: Any, loaded: Loader) -> None:
    """`reference` has the host a step behind, as on a GPU: what ended is computed once more, and left alone."""
    model = loaded("generation", name)
    prompts = _prompts(model, GRAMMARS, 12)
    found = _tokens(_decoded(make_paged_core(model, by=by)[0], prompts))
    assert found == [_by_llguidance(model, prompt) for prompt in prompts]


@pytest.mark.parametrize("by", ["cpu", "reference"])
def test_rows_without_a_grammar_are_the_same_in_any_company(by: Any, loaded: Loader) -> None:
    model = loaded("generation", "gpt2")
    free = _prompts(model, [{}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}], 9, most=12)
    alone = _tokens(_decoded(make_paged_core(model, by=by)[0], free))
    kept = _prompts(model, GRAMMARS, 9)
    mixed = [each for pair in zip(free, kept, strict=True) for each in pair]
    together = _tokens(_decoded(make_paged_core(model, by=by)[0], mixed))
    assert together[::2] == alone
    assert together[1::2] == _tokens(_decoded(make_paged_core(model, by=by)[0], kept))


@pytest.mark.parametrize("params", GRAMMARS)
def test_finished_texts_match_and_those_that_are_cut_say_so(params: dict[str, Any], loaded: Loader) -> None:
    engine = GenerationEngine(loaded("generation", "gpt2"))
    documents = [
        DocumentInput(key=most, text="The old clock", params={**params, "max_new_tokens": most})
        for most in (1, 2, 5, 60)
    ]
    answered = drain(engine, documents)
    reasons = []
    for most in (1, 2, 5, 60):
        output = answered[most].output
        assert output is not None, answered[most]
        reasons.append(output["finish_reason"])
        assert answered[most].truncated == (output["finish_reason"] == "length")
        if output["finish_reason"] == "stop":
            _expect_kept(params, output["text"])
    assert reasons[0] == "length"  # one token is never a text and its end


def _expect_kept(params: dict[str, Any], text: str) -> None:
    if "json_schema" in params:
        jsonschema.validate(json.loads(text), params["json_schema"])
    elif "regex" in params:
        assert re.fullmatch(params["regex"], text)
    elif "choice" in params:
        assert text in params["choice"]
    else:
        assert re.fullmatch(r"\(*[a-c]\)*", text)
        assert text.count("(") == text.count(")")


@pytest.mark.parametrize(
    "how",
    [
        {"do_sample": True, "seed": 5},
        {"do_sample": True, "seed": 5, "temperature": 1.7, "top_k": 3},
        {"do_sample": True, "seed": 5, "top_p": 0.3, "repetition_penalty": 1.5},
        {"do_sample": True, "seed": 5, "num_return_sequences": 3},
        {"repetition_penalty": 2.0},
    ],
)
def test_a_mask_stands_before_what_chooses_among_tokens(how: dict[str, Any], loaded: Loader) -> None:
    """Behind top-k, few of the k tokens would be allowed, or none."""
    engine = GenerationEngine(loaded("generation", "gpt2"))
    documents = [
        DocumentInput(key=number, text="Nobody knew", params={**params, **how, "max_new_tokens": 90})
        for number, params in enumerate(GRAMMARS)
    ]
    answered = drain(engine, documents)
    for number, params in enumerate(GRAMMARS):
        output = answered[number].output
        assert output is not None, answered[number]
        texts = output.get("texts") or [output["text"]]
        reasons = output.get("finish_reasons") or [output["finish_reason"]]
        assert len(texts) == how.get("num_return_sequences", 1)
        for text, reason in zip(texts, reasons, strict=True):
            if reason == "stop":
                _expect_kept(params, text)
    assert {output.output["finish_reason"] for output in answered.values() if output.output} >= {"stop"}


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_encoder_decoders_keep_to_grammars_too(name: str, loaded: Loader) -> None:
    """Their own settings search with beams, force an end and the first token."""
    engine = GenerationEngine(loaded("generation", name))
    documents = [
        DocumentInput(key=number, text="A warm, funny film", params={**params, "max_new_tokens": 60})
        for number, params in enumerate(GRAMMARS)
    ]
    answered = drain(engine, documents)
    finished = 0
    for number, params in enumerate(GRAMMARS):
        output = answered[number].output
        assert output is not None, answered[number]
        if output["finish_reason"] == "stop":
            finished += 1
            _expect_kept(params, output["text"])
    assert finished >= 2


def test_what_goes_by_generate_keeps_to_grammars_too(loaded: Loader) -> None:
    """Models and lengths that are not proven: the same tokens as continuously."""
    model = loaded("generation", "gpt2")
    prompts = _prompts(model, [*GRAMMARS, {**GRAMMARS[0], "repetition_penalty": 1.3}], 5)
    decoder = BatchDecoder(model, Reference(model))
    pieces = [
        Piece(key=number, index=0, num_tokens=9, data=prompt, num_rows=1)
        for number, prompt in enumerate(prompts)
    ]
    found = [decoder.decode([piece])[0] for piece in pieces]
    assert _tokens(found) == _tokens(_decoded(make_paged_core(model, by="cpu")[0], prompts))


def test_a_document_that_begins_again_follows_its_grammar_from_the_first_token(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step that failed everybody begins again; a grammar that stood where it was knew no first token."""
    model = loaded("generation", "gpt2")
    prompts = _prompts(model, GRAMMARS, 8)
    for by in ("cpu", "reference"):
        core, program = make_paged_core(model, by=by)
        expected = _tokens(_decoded(make_paged_core(model, by=by)[0], prompts))
        run, count = type(program.forward).scores, 0

        def failing(*args: Any, run: Any = run) -> Any:
            nonlocal count
            count += 1
            if count in (5, 9):
                raise RuntimeError("the step failed")
            return run(*args)

        monkeypatch.setattr(type(program.forward), "scores", failing)
        assert _tokens(_decoded(core, prompts)) == expected
        monkeypatch.undo()
        assert count > 9


def test_nobody_asks_a_grammar_any_more_when_its_document_begins_again(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask that was still being made moved the grammar on after it had begun again: now and then, wrong tokens."""
    model = loaded("generation", "gpt2")
    core, program = make_paged_core(model)
    prompts = _prompts(model, GRAMMARS, 4)
    expected = _tokens(_decoded(make_paged_core(model)[0], prompts))
    has_begun_again, is_asked, asking, seen = threading.Event(), threading.Event(), set[object](), []
    words_of, begin_again, scores = masks._words_of, Request.begin_again, type(program.forward).scores
    has_failed = threading.Event()

    def slowly(request: Request) -> Any:
        one = object()
        asking.add(one)
        is_asked.set()
        try:
            if not has_failed.is_set():
                has_begun_again.wait(0.3)  # only of a document that is not waited for
            return words_of(request)
        finally:
            asking.remove(one)

    def noted(request: Request) -> None:
        seen.append(len(asking))
        has_begun_again.set()
        begin_again(request)

    def failing(*args: Any) -> Any:
        if not has_failed.is_set() and is_asked.wait(0.5):  # in vain where no row has a grammar
            has_failed.set()
            raise RuntimeError("the step failed")
        return scores(*args)

    monkeypatch.setattr(masks, "_words_of", slowly)
    monkeypatch.setattr(Request, "begin_again", noted)
    monkeypatch.setattr(type(program.forward), "scores", failing)
    assert _tokens(_decoded(core, prompts)) == expected
    assert seen
    assert not any(seen)


def test_masks_of_a_step_are_made_while_its_pass_is_computed(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the host is a step behind, the tokens before are read once the pass has begun, not before."""
    model = loaded("generation", "gpt2")
    order: list[str] = []
    core, program = make_paged_core(model, by="reference")
    forward, asked = type(program.forward).scores, Constraint.allowed_after

    def computing(*args: Any) -> Any:
        order.append("pass")
        return forward(*args)

    def asking(*args: Any) -> Any:
        order.append("mask")
        return asked(*args)

    monkeypatch.setattr(type(program.forward), "scores", computing)
    monkeypatch.setattr(Constraint, "allowed_after", asking)
    _decoded(core, _prompts(model, [GRAMMARS[1]], 1))
    assert "pass mask pass mask pass mask" in " ".join(order)


def test_what_the_models_own_settings_forbid_fails_by_name(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of scores that are all minus infinity the first token was taken, and a text that is no JSON given out."""
    model = loaded("generation", "gpt2")
    yes = model.tokenizer("y")["input_ids"]
    monkeypatch.setattr(model.model.generation_config, "suppress_tokens", yes)
    for by in ("cpu", "reference"):
        (found,) = _decoded(make_paged_core(model, by=by)[0], _prompts(model, [{"choice": ["y"]}], 1))
        assert isinstance(found, GrammarFailed)
        assert "settings forbid" in str(found)


def test_a_grammar_that_costs_too_much_fails_alone(loaded: Loader) -> None:
    model = loaded("generation", "gpt2")
    hostile = {"regex": "([a-z]{1,200} ?){1,200}"}
    found = _decoded(
        make_paged_core(model, by="cpu")[0], _prompts(model, [hostile, GRAMMARS[1]], 4, most=100)
    )
    assert all(isinstance(each, GrammarFailed | Decoded) for each in found[::2])
    assert any("too many" in str(each) for each in found[::2])
    assert _tokens(found[1::2])


def test_special_tokens_are_in_no_text_whatever_the_grammar_says(loaded: Loader) -> None:
    model = loaded("generation", "llama")
    begin = model.tokenizer.bos_token_id
    (found,) = _decoded(
        make_paged_core(model, by="cpu")[0], _prompts(model, [{"grammar": f'start: "a" <[{begin}]>'}], 1)
    )
    assert isinstance(found, GrammarFailed)


@pytest.mark.parametrize(
    "more", [{"num_beams": 2}, {"stop": ["a"]}, {"min_new_tokens": 2}, {"no_repeat_ngram_size": 2}]
)
def test_what_works_against_a_grammar_is_refused(more: dict[str, Any], loaded: Loader) -> None:
    maker = PromptMaker(loaded("generation", "gpt2"))
    with pytest.raises(InvalidParameter, match=f"{next(iter(more))} does not go with a grammar"):
        maker.make([1, 2], {"regex": "a+", **more}, max_new_tokens=9)


def test_a_mask_leaves_what_its_bits_say_also_of_more_tokens_than_it_has_bits() -> None:
    draw = np.random.default_rng(2)
    words = draw.integers(0, 2**32, (3, 4), np.uint32)
    scores = torch.randn(3, 150)
    left = masked(scores, torch.from_numpy(words.view(np.int32)))
    for row in range(3):
        for token in range(150):
            is_allowed = token < 128 and bool(words[row, token // 32] >> np.uint32(token % 32) & np.uint32(1))
            assert bool(left[row, token] == scores[row, token]) is is_allowed
            assert is_allowed or left[row, token] == -torch.inf


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_text_that_is_told_while_it_grows_is_the_beginning_of_the_one_that_comes_out(
    name: str, loaded: Loader
) -> None:
    """Told by the tokenizer's own decode, which may put a space elsewhere, an answer would contradict itself."""
    told: dict[int, list[str]] = {number: [] for number in range(len(GRAMMARS))}
    documents = [
        DocumentInput(key=n, text="Snow", params={**params, "max_new_tokens": 60}, on_text=told[n].append)
        for n, params in enumerate(GRAMMARS)
    ]
    answered = drain(GenerationEngine(loaded("generation", name)), documents)
    for number, pieces in told.items():
        output = answered[number].output
        assert output is not None
        assert output["text"].startswith("".join(pieces))  # who listens has the rest from the result
    assert max(map(len, told.values())) > 3
