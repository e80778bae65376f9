"""How documents are cut into slices."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.records import NewDocument, Priority, Task
from jobs.slicing import SlicePlanner


def document(seq: int, *, model: str = "m", characters: int = 40, task: Task = Task.SENTIMENT) -> NewDocument:
    return NewDocument(seq=seq, custom_id=str(seq), task=task, model=model, text="x" * characters, params={})


def planned(documents: list[NewDocument], /, **limits: int) -> tuple[SlicePlanner, list[int]]:
    planner = SlicePlanner(
        slice_tokens=limits.get("tokens", 8192),
        slice_documents=limits.get("documents", 512),
        priority=Priority.INTERACTIVE if limits.get("interactive") else Priority.BULK,
    )
    return planner, [planner.place(one) for one in documents]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5000)), max_size=60))
def test_every_document_is_in_one_slice_of_its_model_and_slices_know_their_size(
    rows: list[tuple[str, int]],
) -> None:
    documents = [document(seq, model=m, characters=n) for seq, (m, n) in enumerate(rows)]
    planner, places = planned(documents, tokens=2000, documents=8)
    assert Counter(places) == {s.number: s.num_documents for s in planner.slices}
    for one, place in zip(documents, places, strict=True):
        slice_ = planner.slices[place]
        assert slice_.model == one.model
        assert slice_.first_seq <= one.seq <= slice_.last_seq


def test_the_first_slices_are_small_so_that_first_results_come_soon() -> None:
    planner, _ = planned([document(seq) for seq in range(2000)])
    sizes = [slice_.num_documents for slice_ in planner.slices]
    assert sizes[:4] == [64] * 4
    assert max(sizes[4:]) == 512


def test_a_share_that_does_not_come_out_even_is_rounded_down() -> None:
    planner, _ = planned([document(seq) for seq in range(8)], documents=15)
    assert [slice_.num_documents for slice_ in planner.slices] == [1, 1, 1, 1, 4]


def test_an_interactive_job_is_cut_small_throughout() -> None:
    planner, _ = planned([document(seq) for seq in range(300)], interactive=1)
    assert max(slice_.num_documents for slice_ in planner.slices) == 64


def test_long_documents_fill_a_slice_by_their_tokens() -> None:
    planner, _ = planned([document(seq, characters=8000) for seq in range(40)])
    assert max(slice_.num_documents for slice_ in planner.slices) <= 5


def test_a_document_larger_than_a_slice_has_one_of_its_own() -> None:
    planner, places = planned([document(0, characters=500_000), document(1)])
    assert places == [0, 1]
    assert planner.slices[0].num_documents == 1


def test_a_slice_of_a_rare_model_does_not_stretch_over_the_whole_job() -> None:
    """L4's kind: whoever claimed it read over every row between its first and its last."""
    models = ["rare" if seq % 50 == 0 else "common" for seq in range(2000)]
    planner, _ = planned([document(seq, model=model) for seq, model in enumerate(models)], documents=8)
    assert max(slice_.last_seq - slice_.first_seq for slice_ in planner.slices) < 16 * 8


def test_a_slice_takes_as_many_tokens_as_it_may_and_not_one_more() -> None:
    """A document of 40 characters is 11 tokens of work; the first slices have an eighth of the size."""
    for tokens, expected in ((8 * 33, 3), (8 * 33 - 1, 2)):
        planner, _ = planned([document(seq) for seq in range(12)], tokens=tokens)
        assert [slice_.num_documents for slice_ in planner.slices][:4] == [expected] * 4


@pytest.mark.parametrize(("seq", "is_together"), [(255, True), (256, False)])
def test_a_slice_ends_where_it_would_stretch_too_far(seq: int, is_together: bool) -> None:
    """Over 16 times its most documents, and not one row more."""
    between = [document(number) for number in range(1, seq)]
    _, places = planned([document(0, model="rare"), *between, document(seq, model="rare")], documents=16)
    assert (places[0] == places[-1]) is is_together


def test_a_slice_of_few_documents_has_one_at_least() -> None:
    _, places = planned([document(seq) for seq in range(6)], documents=4)
    assert places[:4] == [0, 1, 2, 3]
    assert len({*places[4:]}) == 1


def test_a_slice_says_what_it_holds() -> None:
    planner, _ = planned([document(3, model="a", task=Task.QA), document(4, model="a", task=Task.QA)])
    (slice_,) = planner.take_all()
    assert (slice_.number, slice_.task, slice_.model) == (0, Task.QA, "a")
    assert (slice_.first_seq, slice_.last_seq, slice_.num_documents, slice_.tokens) == (3, 4, 2, 22)
    assert planner.slices == []
    assert planner.place(document(5, model="a", task=Task.QA)) == 1


def test_slices_can_be_taken_away_as_soon_as_they_are_full() -> None:
    documents = [document(seq, model="ab"[seq % 2]) for seq in range(40)]
    whole, places = planned(documents, documents=8)
    planner, again = planned([], documents=8)
    taken = []
    for one in documents:
        again.append(planner.place(one))
        taken += planner.take_closed()
        assert len(planner.slices) <= 2
    taken += planner.take_all()
    assert again == places
    assert sorted(taken, key=lambda slice_: slice_.number) == whole.slices
