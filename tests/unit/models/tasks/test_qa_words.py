"""Answers are whole words, as transformers' question-answering pipeline has them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from models.encoders.reading import read
from models.records import DocumentInput
from models.tasks.qa.task import QaEngine
from models.tasks.qa.words import Words
from tests.support.engines import drain
from tests.support.tiny_encoders import TOKENIZERS, random_texts, tiny

_CONTEXT = "The report was written by Adalbert, who had measured everything twice. Nobody believed him."


def _around(name: str, context: str) -> tuple[Any, Words]:
    tokenizer = TOKENIZERS[name]()
    places = read(tokenizer, [context], [{}])[0].places
    assert places is not None
    return tokenizer(context, add_special_tokens=False), Words(context, places)


@pytest.mark.parametrize("name", ["wordpiece", "bytes", "endless", "unigram", "words"])
def test_a_span_of_tokens_grows_to_the_words_of_the_tokenizer(name: str) -> None:
    """H4, by the pipeline's rule: `word_to_chars(token_to_word(token))` at both ends."""
    encoded, words = _around(name, _CONTEXT)
    for first in range(len(encoded["input_ids"])):
        for last in range(first, min(first + 4, len(encoded["input_ids"]))):
            begin = encoded.word_to_chars(encoded.token_to_word(first))[0]
            end = encoded.word_to_chars(encoded.token_to_word(last))[1]
            assert words.around(first, last) == (begin, end)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "deberta", "modernbert"])
def test_no_answer_is_half_a_word(kind: str) -> None:
    """H4: `max_answer_length=1`, `top_k=5` gave "Ad" and "a" of "Ada"."""
    params = {"max_answer_length": 1, "top_k": 8}
    document = DocumentInput(key=0, text="who wrote it?", context=_CONTEXT, params=params)
    output = drain(QaEngine(tiny(kind, "qa")), [document])[0].output
    assert output is not None
    answers = output["answers"]
    assert len(answers) == 8
    assert len({one["answer"].casefold() for one in answers}) == 8
    for one in answers:
        assert one["answer"] == _CONTEXT[one["start"] : one["end"]]
        assert not (one["answer"][0].isalnum() and _CONTEXT[: one["start"]][-1:].isalnum())
        assert not (one["answer"][-1].isalnum() and _CONTEXT[one["end"] :][:1].isalnum())


@pytest.mark.parametrize(
    ("context", "first", "last", "answer"),
    [
        ("这份报告是阿达写的。", 4, 5, None),
        ("報告はエイダが書いた", 2, 3, None),
        ("ในปี", 0, 0, None),
        ("作者是Ada写的", 2, 2, "Ada"),
    ],
)
def test_where_words_have_no_spaces_an_answer_keeps_the_bounds_of_its_tokens(
    context: str, first: int, last: int, answer: str | None
) -> None:
    """A tokenizer that knows spaces alone takes the whole sentence for one word."""
    encoded, words = _around("bytes", context)
    offsets = _characters_of(encoded, len(context))
    tokens = [n for n, (begin, end) in enumerate(offsets) if begin >= first and end <= last + 1]
    begin, end = words.around(tokens[0], tokens[-1])
    if answer is None:
        assert (begin, end) == (offsets[tokens[0]][0], offsets[tokens[-1]][1])
    else:
        letter = next(n for n, (b, _) in enumerate(offsets) if context[b] == "d" or context[b] == "A")
        assert context[slice(*words.around(letter, letter))] == answer


def _characters_of(encoded: Any, count: int) -> list[tuple[int, int]]:
    offsets: list[tuple[int, int]] = encoded.encodings[0].offsets
    assert all(end <= count for _, end in offsets)
    return offsets


def test_a_token_that_several_windows_saw_counts_once() -> None:
    model = tiny("bert", "qa")
    model.tokenizer.model_max_length = 40
    context = " ".join(random_texts(8))
    document = DocumentInput(key=0, text="the dog", context=context, params={"top_k": 5})
    output = drain(QaEngine(model), [document])[0]
    question, inside = (
        len(model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("the dog", context)
    )
    assert output.input_tokens == question + inside
    assert output.output is not None
    assert 0 < sum(one["score"] for one in output.output["answers"]) <= 1


def test_a_context_of_one_endless_word_is_looked_through_once() -> None:
    """L11: each of thousands of spans walked through all tokens and characters of its word."""
    count = 50_000
    words = _Counted([0] * count)
    offsets = [(number, number + 1) for number in range(count)]
    around = Words("a" * count, SimpleNamespace(offsets=offsets, word_ids=words)).around
    looked_at = words.num_reads
    assert [around(n, n + 1) for n in range(0, count - 1, 50)] == [(0, count)] * 1000
    assert words.num_reads == looked_at <= 2 * count


class _Counted(list[int | None]):
    num_reads = 0

    def __getitem__(self, place: Any) -> Any:
        self.num_reads += 1
        return super().__getitem__(place)
