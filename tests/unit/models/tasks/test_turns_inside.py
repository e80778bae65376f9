"""Inside an engine documents take turns by owner, then by job, and long ones go in portions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batching.batch_core import BatchCore
from models.batching.begun import at_once
from models.batching.plan import Piece
from models.errors import DocumentError
from models.records import DocumentInput, DocumentOutput, ModelSpec
from models.tasks.documents.document_engine import DocumentEngine, OpenDocument, PieceData, Prepared
from models.tasks.documents.portions import Portions
from models.tasks.documents.under_way import UnderWay
from models.tasks.documents.waiting import WaitingDocuments

_BATCH_TOKENS = 8
_SPEC = ModelSpec(name="fake", task="sentiment", ref="fake", max_batch_tokens=_BATCH_TOKENS)


class Loaded:
    """As much of a loaded model as an engine without a model needs."""

    spec = _SPEC


class WordEngine(DocumentEngine):
    """A window for each word; computes batches of `_BATCH_TOKENS` windows."""

    def __init__(self) -> None:
        super().__init__(Loaded(), BatchCore(_SPEC, at_once(self._compute)))  # type: ignore[arg-type]

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        return [
            Prepared(
                pieces=[PieceData(num_tokens=1, data=word) for word in document.text.split()], input_tokens=1
            )
            for document in documents
        ]

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        return DocumentOutput(key=opened.document.key, output={"text": " ".join(opened.results)})

    def _compute(self, batch: Sequence[Piece]) -> list[Any]:
        return [piece.data for piece in batch]


def document(
    key: object, *, owner: str = "a", job: str = "j", priority: int = 6, words: int = 1
) -> DocumentInput:
    return DocumentInput(key=key, text="x " * words, owner=owner, group=job, priority=priority)


def steps_until(engine: WordEngine, key: object, *, before_step: Callable[[], None] = lambda: None) -> int:
    """Steps until a document is answered."""
    for number in range(1, 1000):
        before_step()
        if key in {output.key for output in engine.step()}:
            return number
    pytest.fail(f"{key} was not answered")


def test_owners_take_turns_and_then_their_jobs() -> None:
    waiting = WaitingDocuments()
    for key in range(100):
        waiting.add(document(key, owner="a", job=f"job {key % 2}"))
    waiting.add(document(100, owner="b"))
    taken = waiting.take(max_documents=4, max_characters=1000)
    assert Counter(each.owner for each in taken) == {"a": 3, "b": 1}
    assert {each.group for each in taken[:1] + taken[2:4]} == {"job 0", "job 1"}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from([0, 6])), max_size=60),
    st.integers(1, 9),
)
def test_every_document_comes_out_once(rows: list[tuple[str, str, int]], most: int) -> None:
    waiting = WaitingDocuments()
    for key, (owner, job, priority) in enumerate(rows):
        waiting.add(document(key, owner=owner, job=job, priority=priority))
    out: list[object] = []
    while len(waiting):
        ahead = waiting.take_if(lambda each: each.owner == "c", max_documents=2, max_characters=1000)
        out += [each.key for each in ahead + waiting.take(max_documents=most, max_characters=1000)]
    assert sorted(out) == list(range(len(rows)))  # type: ignore[type-var]


def test_the_shares_of_owners_come_before_those_of_their_jobs() -> None:
    under_way = UnderWay()
    for number in range(4):
        under_way.enter(document(number, owner="a", job="large"))
    of_b, of_other_job = document("b", owner="b"), document("small", owner="a", job="small")
    assert under_way.lead(of_b) > under_way.lead(of_other_job) > under_way.lead(document(9, job="large")) == 0
    for _ in range(4):
        under_way.enter(of_b)
    assert under_way.lead(of_b) == 0
    under_way.leave(of_b)
    assert under_way.lead(of_b) > 0


@pytest.mark.parametrize("owner", ["a", "b"])
def test_a_single_document_does_not_wait_for_another_jobs_whole_window(owner: str) -> None:
    """S2 inside the engine: whatever was planned had been planned before, and came first."""
    engine = WordEngine()
    engine.submit([document(number) for number in range(400)])
    engine.step()
    engine.submit([document("mine", owner=owner, job="mine")])
    assert steps_until(engine, "mine") <= 2


def test_bulk_work_of_one_owner_goes_on_beside_interactive_work_of_another() -> None:
    engine = WordEngine()
    numbers = iter(range(10_000))

    def more() -> None:
        engine.submit([document(next(numbers), owner="a", priority=0) for _ in range(2 * _BATCH_TOKENS)])

    more()
    engine.step()
    engine.submit([document("mine", owner="b", priority=6)])
    assert steps_until(engine, "mine", before_step=more) <= 3


def test_a_stream_of_single_documents_does_not_stop_a_large_job() -> None:
    engine = WordEngine()
    engine.submit([document(number) for number in range(10 * _BATCH_TOKENS)])
    numbers = iter(range(1000, 2000))
    last = 10 * _BATCH_TOKENS - 1

    def one_more() -> None:
        engine.submit([document(next(numbers), owner="b", job=f"job {next(numbers)}")])

    assert steps_until(engine, last, before_step=one_more) <= 30


@pytest.mark.parametrize("other", [{"owner": "b"}, {"job": "other"}, {}], ids=["owner", "job", "same job"])
def test_a_huge_document_lets_others_through_between_its_portions(other: dict[str, str]) -> None:
    """One row's share of the device loop: its windows were planned in one go, before everybody's."""
    engine = WordEngine()
    engine.submit([document("huge", words=500 * _BATCH_TOKENS)])
    engine.step()
    engine.submit([document("mine", **other)])
    assert steps_until(engine, "mine") <= 4
    assert steps_until(engine, "huge") <= 500


def test_huge_documents_of_two_owners_share_the_device() -> None:
    engine = WordEngine()
    engine.submit([document("huge", words=100 * _BATCH_TOKENS)])
    engine.step()
    engine.submit([document("mine", owner="b", words=20 * _BATCH_TOKENS)])
    assert steps_until(engine, "mine") <= 50


def test_a_cancelled_huge_document_leaves_nothing_behind() -> None:
    engine = WordEngine()
    engine.submit([document("huge", words=100), document("mine")])
    engine.step()
    engine.cancel(["huge"])
    outputs = []
    while engine.has_work:
        outputs += engine.step()
    assert [output.key for output in outputs] in ([], ["mine"])


@given(st.lists(st.integers(1, 12), min_size=1, max_size=50), st.integers(1, 30))
def test_portions_hold_every_piece_once_and_in_order(lengths: list[int], most: int) -> None:
    pieces = [Piece(key="d", index=index, num_tokens=length) for index, length in enumerate(lengths)]
    portions = Portions(most)
    out, portion = [], portions.first(pieces)
    while portion:
        assert len(portion) == 1 or sum(piece.num_tokens for piece in portion) <= most
        out += portion
        assert not portions.are_due
        for piece in portion:
            portions.note_done(piece)
        portion = [piece for each in portions.next_ones() for piece in each]
    assert out == pieces
