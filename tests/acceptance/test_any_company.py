"""Mixed documents of four tasks through the device loop: who keeps a document company changes nothing in it."""

from __future__ import annotations

import json
import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from models.factory import build_engine
from models.loading.device import prepare_device
from models.loop.device_loop import DeviceLoop
from models.loop.pool import WarmPool
from models.records import DocumentInput, DocumentOutput, ModelSpec
from tests.support.tiny_models import SENTENCES, WORDS
from tests.zoo.entries import ENTRIES
from tests.zoo.folders import Folders

Mixed = Sequence[tuple[str, DocumentInput]]  #: of a task and its document

_WAYS: Sequence[Mapping[str, Any]] = (
    {},
    {"do_sample": True},
    {"num_beams": 4},
    {"do_sample": True, "temperature": 1.5, "top_k": 0, "min_new_tokens": 4},
    {"num_beams": 2, "no_repeat_ngram_size": 2},
    {"do_sample": True, "temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.2},
    {"num_beams": 3, "length_penalty": 0.5, "min_new_tokens": 4},
)
_TASKS = ("generation", "translation", "sentiment", "qa")
_BUNDLED = {task: f"bundled:{task}" for task in _TASKS}
_TINY = {"generation": "Llama 3", "translation": "Marian", "sentiment": "RoBERTa", "qa": "BERT"}
_SLICE_DOCUMENTS = 50
_NUM_ALONE = 40
_PATIENCE_SECONDS = 1800.0  #: without any outcome; other processes may keep the processor busy


@pytest.fixture
def tiny(tmp_path: Path) -> Mapping[str, str]:
    folders = Folders(tmp_path)
    return {entry.task: str(folders[entry]) for entry in ENTRIES if _TINY.get(entry.task) == entry.name}


def test_200_mixed_documents_are_the_same_bytes_in_any_order_and_batch(tiny: Mapping[str, str]) -> None:
    """Scores were the same to rounding only: products were added up in an order that the batch decided."""
    _expect_the_same_in_any_company(tiny, _mixed(200, longest_words=25), batch_sizes=(4096, 256))


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_1000_mixed_documents_are_the_same_bytes_in_any_order_and_batch() -> None:
    _expect_the_same_in_any_company(_BUNDLED, _mixed(1000, longest_words=60), batch_sizes=(4096, 256))


def _expect_the_same_in_any_company(
    refs: Mapping[str, str], mixed: Mixed, *, batch_sizes: Sequence[int]
) -> None:
    shuffled = list(mixed)
    random.Random(7).shuffle(shuffled)
    orders = {"as written": mixed, "backwards": mixed[::-1], "shuffled": shuffled}
    first: Mapping[Hashable, bytes] | None = None
    for batch_tokens in batch_sizes:
        with _worker(refs, batch_tokens) as loop:
            for order, documents in orders.items():
                got = _computed(loop, documents)
                first = first or got
                _expect_the_same(got, first, f"{order}, {batch_tokens} tokens in a batch")
            alone: dict[Hashable, bytes] = {}
            for one in shuffled[:_NUM_ALONE]:
                alone |= _computed(loop, [one])
            _expect_the_same(alone, first, f"jobs of one document, {batch_tokens} tokens in a batch")


def _expect_the_same(got: Mapping[Hashable, bytes], first: Mapping[Hashable, bytes], how: str) -> None:
    assert [key for key in got if got[key] != first[key]] == [], how


@contextmanager
def _worker(refs: Mapping[str, str], batch_tokens: int) -> Iterator[DeviceLoop]:
    device = prepare_device("cpu")
    specs = [
        ModelSpec(name=task, task=task, ref=ref, dtype="float32", max_batch_tokens=batch_tokens)
        for task, ref in refs.items()
    ]
    pool = WarmPool(specs, build=lambda spec: build_engine(spec, device), budget_bytes=2**31)
    loop = DeviceLoop(pool, on_death=lambda _: None)
    loop.start()
    try:
        yield loop
    finally:
        loop.stop(0)


def _computed(loop: DeviceLoop, documents: Mixed) -> Mapping[Hashable, bytes]:
    """Each document's outcome, scores and all."""
    tickets = [
        loop.submit(task, [document for of, document in part if of == task])
        for part in _slices(documents)
        for task in _TASKS
    ]
    got: dict[Hashable, bytes] = {}
    for ticket in tickets:
        while ticket.num_open:
            outputs = ticket.outcomes(_PATIENCE_SECONDS)
            assert [output.error_message for output in outputs if output.output is None] == []
            assert outputs, "the loop is stuck"
            got |= {output.key: _bytes_of(output) for output in outputs}
    assert set(got) == {document.key for _, document in documents}
    return got


def _bytes_of(output: DocumentOutput) -> bytes:
    """Every digit of every number: a float's shortest text that gives it back."""
    return json.dumps(asdict(output), sort_keys=True).encode()


def _slices(documents: Mixed) -> list[Mixed]:
    return [
        documents[start : start + _SLICE_DOCUMENTS] for start in range(0, len(documents), _SLICE_DOCUMENTS)
    ]


def _mixed(count: int, *, longest_words: int) -> Mixed:
    draw = random.Random(16)
    return [_document(number, _TASKS[number % len(_TASKS)], draw, longest_words) for number in range(count)]


def _document(number: int, task: str, draw: random.Random, longest_words: int) -> tuple[str, DocumentInput]:
    most_words = draw.choice([1, 3, 8, draw.randint(1, longest_words)])
    if task == "sentiment":
        return task, DocumentInput(key=number, text=_text(draw, draw.choice([most_words, 12 * most_words])))
    if task == "qa":
        context = " ".join(draw.choices(SENTENCES, k=draw.choice([1, 2, 3, draw.randint(1, longest_words)])))
        params = {"top_k": draw.choice([1, 3])}
        return task, DocumentInput(key=number, text=_text(draw, 8)[:40], context=context, params=params)
    params = {**draw.choice(_WAYS), "max_new_tokens": draw.choice([5, 8, 13, 21])}
    if params.get("do_sample"):
        params["seed"] = number
    return task, DocumentInput(key=number, text=_text(draw, most_words), params=params)


def _text(draw: random.Random, num_words: int) -> str:
    return " ".join(draw.choices(WORDS, k=num_words))
