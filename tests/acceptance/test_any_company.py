"""Mixed documents of four tasks through the device loop: who keeps a document company changes nothing in it."""

from __future__ import annotations

import json
import random
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from models.device import prepare_device
from models.device_loop import DeviceLoop
from models.engines import build_engine
from models.pool import WarmPool
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
#: Scores are sums of products, which are added in another order in another batch: to rounding, the rest to the byte.
_ROUNDING = 1e-5
_SLICE_DOCUMENTS = 50


@pytest.fixture
def tiny(tmp_path: Path) -> Mapping[str, str]:
    folders = Folders(tmp_path)
    return {entry.task: str(folders[entry]) for entry in ENTRIES if _TINY.get(entry.task) == entry.name}


def test_200_mixed_documents_are_the_same_in_any_order_and_batch(tiny: Mapping[str, str]) -> None:
    _expect_the_same_in_any_company(tiny, _mixed(200, longest_words=25), batch_sizes=(4096, 256))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_1000_mixed_documents_are_the_same_in_any_order_and_batch() -> None:
    _expect_the_same_in_any_company(_BUNDLED, _mixed(1000, longest_words=60), batch_sizes=(4096, 256))


def _expect_the_same_in_any_company(
    refs: Mapping[str, str], mixed: Mixed, *, batch_sizes: Sequence[int]
) -> None:
    shuffled = list(mixed)
    random.Random(7).shuffle(shuffled)
    orders = {"as written": mixed, "backwards": mixed[::-1], "shuffled": shuffled}
    first: Mapping[Hashable, DocumentOutput] | None = None
    for batch_tokens in batch_sizes:
        for order, documents in orders.items():
            got = _computed(refs, documents, batch_tokens)
            assert [key for key, output in got.items() if output.output is None] == []
            first = first or got
            changed = [key for key in got if not _is_same(got[key], first[key])]
            assert changed == [], f"{order}, {batch_tokens} tokens in a batch"


def _computed(
    refs: Mapping[str, str], documents: Mixed, batch_tokens: int
) -> Mapping[Hashable, DocumentOutput]:
    device = prepare_device("cpu")
    specs = [
        ModelSpec(name=task, task=task, ref=ref, dtype="float32", max_batch_tokens=batch_tokens)
        for task, ref in refs.items()
    ]
    pool = WarmPool(specs, build=lambda spec: build_engine(spec, device), budget_bytes=2**31)
    loop = DeviceLoop(pool, on_death=lambda _: None)
    loop.start()
    try:
        tickets = [
            loop.submit(task, [document for of, document in part if of == task])
            for part in _slices(documents)
            for task in _TASKS
        ]
        got: dict[Hashable, DocumentOutput] = {}
        for ticket in tickets:
            while ticket.num_open:
                outputs = ticket.outcomes(120)
                assert outputs, "the loop is stuck"
                got |= {output.key: output for output in outputs}
    finally:
        loop.stop(0)
    assert set(got) == {document.key for _, document in documents}
    return got


def _slices(documents: Mixed) -> list[Mixed]:
    return [
        documents[start : start + _SLICE_DOCUMENTS] for start in range(0, len(documents), _SLICE_DOCUMENTS)
    ]


def _mixed(count: int, *, longest_words: int) -> Mixed:
    draw = random.Random(16)
    return [_document(number, _TASKS[number % len(_TASKS)], draw, longest_words) for number in range(count)]


def _document(number: int, task: str, draw: random.Random, longest_words: int) -> tuple[str, DocumentInput]:
    text = " ".join(draw.choices(WORDS, k=draw.choice([1, 3, 8, draw.randint(1, longest_words)])))
    if task in ("sentiment", "qa"):
        context = " ".join(draw.choices(SENTENCES, k=draw.randint(1, 2))) if task == "qa" else None
        return task, DocumentInput(key=number, text=text if context is None else text[:40], context=context)
    params = {**draw.choice(_WAYS), "max_new_tokens": draw.choice([5, 8, 13, 21])}
    if params.get("do_sample"):
        params["seed"] = number
    return task, DocumentInput(key=number, text=text, params=params)


def _is_same(one: DocumentOutput, other: DocumentOutput) -> bool:
    (bytes_of_one, scores), (bytes_of_other, other_scores) = _apart(one), _apart(other)
    close = all(abs(a - b) <= _ROUNDING for a, b in zip(scores, other_scores, strict=True))
    return bytes_of_one == bytes_of_other and close


def _apart(output: DocumentOutput) -> tuple[bytes, list[float]]:
    """Everything about an outcome as bytes, and its scores."""
    scores: list[float] = []

    def without(value: Any) -> Any:
        if isinstance(value, float):
            scores.append(value)
            return None
        if isinstance(value, Mapping):
            return {name: without(part) for name, part in sorted(value.items())}
        return [without(part) for part in value] if isinstance(value, list) else value

    facts = [output.output, output.provenance, output.input_tokens, output.output_tokens, output.truncated]
    return json.dumps([without(fact) for fact in facts]).encode(), scores
