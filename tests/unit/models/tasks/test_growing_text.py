"""Texts told while they are decoded: every piece is final, and all are the beginning of the result's text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from models.decoding.scheduling.scheduler import Limits
from models.loading.registry import LoadedModel
from models.records import DocumentInput
from models.tasks.decoding_core import decoding_core
from models.tasks.generation import GenerationEngine
from models.tasks.growing_text import GrowingText
from models.tasks.listeners import Listeners
from tests.support.engines import drain
from tests.support.ledger import Clock
from tests.support.tiny_models import Loader

BYTES = ["<0xC3>", "<0xA9>", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]


def bytewise(ids: Sequence[int]) -> str:
    """A tokenizer whose tokens are bytes."""
    return bytes(ids).decode(errors="replace")


def grown(text: GrowingText, ids: Sequence[int], *, draw: random.Random) -> list[str]:
    """The pieces, with tokens coming a few at a time."""
    pieces, num_there = [], 0
    while num_there < len(ids):
        num_there = min(len(ids), num_there + draw.randint(0, 3))
        pieces.append(text.more(ids[:num_there]))
    return [piece for piece in pieces if piece]


def test_no_piece_ends_inside_a_character() -> None:
    whole = "Größe 🎉 naïve 日本語 " * 20
    ids = list(whole.encode())
    text = GrowingText(lambda ids: bytewise(ids), str, [])
    pieces = [text.more(ids[: n + 1]) for n in range(len(ids))]
    assert "".join(pieces) == whole
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_a_character_begun_by_the_prompt_is_whole() -> None:
    prompt, *_ = [list(b"caf")]
    text = GrowingText(lambda ids: bytewise(ids), str, prompt)
    assert [text.more([0xC3]), text.more([0xC3, 0xA9]), text.more([0xC3, 0xA9, 0x21])] == ["", "é", "!"]


def test_a_run_of_byte_tokens_is_told_when_it_is_closed() -> None:
    """A decoder with byte fallback takes a run of bytes as a whole, or turns all of it into marks."""
    names = [*BYTES, "a"]

    def decode(ids: list[int]) -> str:
        runs, text = bytearray(), ""
        for token in [*ids, -1]:
            if 0 <= token < len(BYTES):
                runs.append(int(BYTES[token][3:5], 16))
                continue
            try:
                text += runs.decode()
            except UnicodeDecodeError:
                text += "\N{REPLACEMENT CHARACTER}" * len(runs)
            runs.clear()
            text += "a" if token >= 0 else ""
        return text

    spoilt = [6, 0, 1, 2, 6]  # a, é, half of another character, a
    text = GrowingText(decode, names.__getitem__, [])
    pieces = [text.more(spoilt[: n + 1]) for n in range(len(spoilt))]
    assert "".join(pieces) == decode(spoilt)


@pytest.mark.parametrize("stop", [["\n\n", "END"], ["aab", "ab"], ["é!"]])
def test_nothing_of_a_stop_string_is_told_and_nothing_behind_it(stop: list[str]) -> None:
    draw = random.Random(1)
    for _ in range(200):
        whole = "".join(draw.choices(["a", "b", "\n", "E", "N", "D", "EN", "é", "!"], k=draw.randint(1, 30)))
        cuts = [place for each in stop if (place := whole.find(each)) >= 0]
        right = whole[: min(cuts)] if cuts else whole
        pieces = grown(GrowingText(lambda ids: bytewise(ids), str, [], stop), list(whole.encode()), draw=draw)
        told = "".join(pieces)
        assert right.startswith(told)
        # What is kept back is at most the beginning of a stop string.
        assert any(each.startswith(right[len(told) :]) for each in [*stop, ""])


def test_tokens_that_are_computed_again_are_told_once() -> None:
    text = GrowingText(lambda ids: bytewise(ids), str, [])
    ids = list(b"hello world")
    assert text.more(ids[:6]) == "hello "
    assert [text.more(ids[:n]) for n in (0, 3, 6)] == ["", "", ""]
    assert text.more(ids) == "world"


def test_long_texts_are_decoded_by_their_ends() -> None:
    longest = 0

    def decode(ids: list[int]) -> str:
        nonlocal longest
        longest = max(longest, len(ids))
        return bytewise(ids)

    whole = "ä€🎉x" * 500
    ids = list(whole.encode())
    text = GrowingText(decode, str, [])
    assert "".join(text.more(ids[: n + 1]) for n in range(len(ids))) == whole
    assert longest < 100


def told_and_text(
    model: LoadedModel, documents: Sequence[DocumentInput]
) -> list[tuple[list[str], dict[str, Any]]]:
    """Of each document the pieces, and its output; with few seats, so that some wait for others."""
    limits = Limits(max_rows=8, num_pages=121, max_entries=128, chunk_sizes=(24,), is_exact=True)
    engine = GenerationEngine(model, decoding_core(model, limits))
    engine._listeners = Listeners(clock=iter(range(10**9)).__next__)  # a look at every step
    pieces: dict[Any, list[str]] = {document.key: [] for document in documents}
    answered = drain(engine, [replace(d, on_text=pieces[d.key].append) for d in documents])
    return [(pieces[d.key], dict(answered[d.key].output or {})) for d in documents]


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma", "t5", "bart"])
def test_the_pieces_of_real_tokenizers_are_the_beginning_of_the_text(name: str, loaded: Loader) -> None:
    """The text is that of transformers' generate, as other tests say; here nothing contradicts it."""
    model = loaded("generation", name)
    draw = random.Random(3)
    documents = [
        DocumentInput(
            key=number,
            text="I enjoy walking with my cute dog",
            params={
                "max_new_tokens": draw.randint(1, 60),
                "stop": draw.choice([[], ["e", "in"], [" the"], ["zz"]]),
                **draw.choice([{}, {"do_sample": True, "seed": number}, {"repetition_penalty": 1.3}]),
            },
        )
        for number in range(12)
    ]
    found = told_and_text(model, documents)
    assert all(output["text"].startswith("".join(pieces)) for pieces, output in found)
    assert max(len(pieces) for pieces, _ in found) > 5, "nothing was told early"


def test_what_has_several_sequences_is_told_by_its_result_alone(loaded: Loader) -> None:
    document = DocumentInput(
        key=0, text="I enjoy", params={"max_new_tokens": 8, "num_beams": 3, "num_return_sequences": 2}
    )
    ((pieces, output),) = told_and_text(loaded("generation", "gpt2"), [document])
    assert (pieces, len(output["texts"])) == ([], 2)


def test_a_listener_that_raises_costs_nobody_a_result(loaded: Loader) -> None:
    def refuse(piece: str) -> None:
        raise RuntimeError("gone")

    documents = [
        DocumentInput(key=0, text="I enjoy", params={"max_new_tokens": 8}, on_text=refuse),
        DocumentInput(key=1, text="I enjoy", params={"max_new_tokens": 8}),
    ]
    answered = drain(GenerationEngine(loaded("generation", "gpt2")), documents)
    assert answered[0].output == answered[1].output
    assert answered[0].error_code is None


def test_many_listeners_are_looked_at_a_bounded_number_of_times_a_second() -> None:
    clock = Clock()
    listeners = Listeners(clock)
    told: list[str] = []
    for key in range(100):
        listeners.enter(key, GrowingText(lambda ids: bytewise(ids), str, []), told.append)
    steps = 1000  # a second of a fast device
    for number in range(steps):
        listeners.tell(lambda key, n=number: b"x" * (n + 1))  # type: ignore[misc]
        clock.advance(1 / steps)
    assert 900 <= len(told) <= 1100
    listeners.leave(range(100))
    clock.advance(10)
    listeners.tell(lambda key: b"x" * 5000)
    assert len(told) <= 1100


def test_sampling_without_a_seed_begins_with_the_documents_own(loaded: Loader) -> None:
    """So a second attempt, after a crash, says what the first had said."""
    params = {"max_new_tokens": 20, "do_sample": True, "temperature": 2.0}
    model = loaded("generation", "gpt2")
    documents = [
        DocumentInput(key=n, text="I enjoy", params=params, own_seed=s) for n, s in enumerate([7, 7, 8])
    ]
    answered = drain(GenerationEngine(model), documents)
    again = drain(
        GenerationEngine(model), [DocumentInput(key=0, text="I enjoy", params={**params, "seed": 7})]
    )
    first, second, other = (answered[n].output for n in range(3))
    assert first == second == again[0].output != other
    assert (answered[0].provenance or {})["seed"] == 7
