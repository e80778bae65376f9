"""Whether the product computes a model of the zoo as transformers does: alone, and in company."""

from __future__ import annotations

import itertools
import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from models.engine import Engine
from models.errors import CannotLoad
from models.factory import build_engine
from models.loading.device import Device, prepare_device
from models.records import DocumentInput, DocumentOutput, ModelSpec
from tests.zoo.documents import documents
from tests.zoo.entry import Entry
from tests.zoo.oracle import Oracle, Right

Outputs = Mapping[Hashable, DocumentOutput]

BATCH_SIZES = (4096, 48)  #: tokens
ORDERS = ("as written", "longest first", "one after the other, shuffled")
Company = tuple[int, str]  #: tokens of a batch, and the order of arrival
COMPANIES: Sequence[Company] = tuple(itertools.product(BATCH_SIZES, ORDERS))
_TOLERANCE = 1e-4  #: of scores in float32; a wrong position or padding shows far above
_MAX_STEPS = 5_000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the zoo says of one model."""

    entry: Entry
    refused: str | None = None  #: at loading, in the product's words
    facts: Mapping[str, Any] = field(default_factory=dict)  #: of `Engine.describe`
    alone: Sequence[str] = ()  #: a line for each document that is not as transformers has it
    company: Sequence[str] = ()  #: a line for each that is not as alone
    num_documents: int = 0

    @property
    def status(self) -> str:
        """`same`, `differs`, or `refused: ...`."""
        if self.refused is not None:
            return f"refused: {self.refused}"
        return "differs" if self.alone or self.company else "same"

    @property
    def way(self) -> str:
        """How documents are computed, as the engine says; one that does not say is known by its counters."""
        if not self.facts:
            return ""
        return str(self.facts.get("way") or ("batches" if "batch_tokens" in self.facts else "continuous"))


def check(
    entry: Entry,
    folder: Path,
    *,
    companies: Sequence[Company] = COMPANIES,
) -> Finding:
    """Runs the documents of an entry through the product, alone and in company."""
    device = prepare_device("cpu", num_threads=torch.get_num_threads())
    try:
        engine = _engine(entry, folder, device, companies[0][0])
    except CannotLoad as error:
        return Finding(entry=entry, refused=str(error))
    except Exception as error:
        return Finding(entry=entry, alone=[f"loading raised {error!r}"])
    oracle = Oracle(entry, folder)
    asked = documents(entry, oracle.tokenizer)
    facts = dict(engine.describe())
    try:
        alone = {document.key: _answers(engine, [document])[document.key] for document in asked}
    except Exception as error:
        return Finding(entry=entry, facts=facts, alone=[f"step raised {error!r}"], num_documents=len(asked))
    return Finding(
        entry=entry,
        facts=facts,
        alone=_apart_from_right(asked, alone, oracle),
        company=_apart_in_company(entry, folder, device, engine, asked, alone, companies),
        num_documents=len(asked),
    )


def _engine(entry: Entry, folder: Path, device: Device, batch_tokens: int) -> Engine:
    spec = ModelSpec(
        name=entry.name, task=entry.task, ref=str(folder), dtype="float32", max_batch_tokens=batch_tokens
    )
    return build_engine(spec, device)


def _apart_from_right(asked: Sequence[DocumentInput], got: Outputs, oracle: Oracle) -> list[str]:
    rights = [oracle.right(document) for document in asked]
    if all(right.error for right in rights) and all(output.output is None for output in got.values()):
        return [f"every document fails: refuse it at loading ({_told(got[asked[0].key])})"]
    return [
        f"document {document.key} {dict(document.params)}: {_told(got[document.key])}, not {right}"
        for document, right in zip(asked, rights, strict=True)
        if not is_right(got[document.key], right)
    ]


def _apart_in_company(
    entry: Entry, folder: Path, device: Device, engine: Engine, asked: Sequence[DocumentInput],
    alone: Outputs, companies: Sequence[Company],
) -> list[str]:  # fmt: skip
    apart = []
    current = companies[0][0]
    for batch_tokens, order in companies:
        if batch_tokens != current:
            engine.close()
            engine, current = _engine(entry, folder, device, batch_tokens), batch_tokens
        try:
            got = _in_order(engine, asked, order)
        except Exception as error:
            apart.append(f"{order}, {batch_tokens} tokens: step raised {error!r}")
            break
        apart += [
            f"document {document.key} {dict(document.params)} {order}, {batch_tokens} tokens: "
            f"{_told(got[document.key])}, alone {_told(alone[document.key])}"
            for document in asked
            if not is_same(got[document.key], alone[document.key])
        ]
    engine.close()
    return apart


def _in_order(engine: Engine, asked: Sequence[DocumentInput], order: str) -> Outputs:
    if order == "as written":
        return _answers(engine, asked)
    if order == "longest first":
        return _answers(engine, sorted(asked, key=lambda one: -len(one.text + (one.context or ""))))
    shuffled = list(asked)
    random.Random(len(asked)).shuffle(shuffled)
    return _answers(engine, shuffled, at_a_time=2)


def _answers(engine: Engine, asked: Sequence[DocumentInput], *, at_a_time: int | None = None) -> Outputs:
    """Every document's outcome, exactly one each; `at_a_time`: so many arrive between steps."""
    waiting = list(asked)
    got: dict[Hashable, DocumentOutput] = {}
    for _ in range(_MAX_STEPS):
        if waiting:
            count = at_a_time or len(waiting)
            engine.submit(waiting[:count])
            waiting = waiting[count:]
        for output in engine.step():
            assert output.key not in got, f"document {output.key} was answered twice"
            got[output.key] = output
        if not waiting and not engine.has_work:
            break
    assert set(got) == {document.key for document in asked}, "not every document was answered"
    return got


def is_right(output: DocumentOutput, right: Right) -> bool:
    """Whether an outcome is what transformers says; a refusal is right where transformers refuses."""
    if right.error is not None:
        return True
    if output.output is None:
        return False
    if right.texts:
        is_counted = not right.num_tokens or output.output_tokens in right.num_tokens
        return is_counted and str(output.output["text"]).strip() in right.texts
    if right.scores:
        scores = dict(right.scores)
        is_best = max(scores.values()) - scores[output.output["label"]] < _TOLERANCE
        return _close(output.output["scores"], scores) and is_best
    return (output.output["start"], output.output["end"]) in right.spans


def is_same(one: DocumentOutput, other: DocumentOutput) -> bool:
    """Whether two outcomes of a document are equal; scores to rounding."""
    if one.output is None or other.output is None:
        return (one.output, one.error_code) == (other.output, other.error_code)
    return _close(one.output, other.output) and replace(one, output=None) == replace(other, output=None)


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return set(one) == set(other) and all(_close(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, float):
        return abs(one - other) <= _TOLERANCE
    return bool(one == other)


def _told(output: DocumentOutput) -> str:
    if output.output is None:
        return f"{output.error_code}: {output.error_message}"
    return f"{dict(output.output)} of {output.output_tokens} tokens"
