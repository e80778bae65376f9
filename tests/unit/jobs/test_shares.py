"""Whose slice is sent next."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from jobs.dispatch import slots_of
from jobs.records import Priority, WorkerBeat
from jobs.shares import UNBOUNDED, Lane, Pool, Shares, Slots

MODELS = frozenset("GST")
LANES = st.builds(
    Lane, owner=st.sampled_from("abcde"), priority=st.sampled_from(Priority), model=st.sampled_from("GST")
)


def lane(owner: str = "a", model: str = "G", priority: Priority = Priority.BULK) -> Lane:
    return Lane(owner=owner, priority=priority, model=model)


def sixteen() -> Slots:
    return Slots([Pool(models=MODELS, slots=16)])


def filled(slots: Slots, *lanes: Lane) -> Counter[Lane]:
    """What is out when these lanes have more to send than anybody takes."""
    out: Counter[Lane] = Counter()
    shares = Shares(slots, out)
    while (picked := shares.pick(dict.fromkeys(lanes, 0.0))) is not None:
        shares.note_sent(picked)
        out[picked] += 1
    return out


def test_one_owner_alone_has_three_quarters_of_the_slots() -> None:
    assert filled(sixteen(), lane()) == {lane(): 12}


def test_two_owners_have_the_same_and_a_slot_is_free_for_a_third() -> None:
    out = filled(sixteen(), lane("a"), lane("b"))
    assert out[lane("a")] == out[lane("b")] == 6
    assert out.total() < 16


def test_an_owners_second_model_and_his_interactive_work_find_a_slot() -> None:
    """S2: the slots were one model's; a document for another waited for all of them."""
    for other in (lane(model="S"), lane(priority=Priority.INTERACTIVE)):
        out = filled(sixteen(), lane())
        assert Shares(sixteen(), out).pick({lane(): 0.0, other: 1.0}) == other


def test_interactive_work_has_one_slot_beyond_the_threshold_of_bulk() -> None:
    interactive = lane(priority=Priority.INTERACTIVE)
    assert filled(sixteen(), interactive) == {interactive: 13}
    assert filled(sixteen(), lane(), interactive).total() == 13
    assert (
        Shares(sixteen(), {lane(): 11, interactive: 1}).pick({lane(): 0.0, interactive: 1.0}) == interactive
    )
    assert Shares(sixteen(), {lane(): 12, interactive: 1}).pick({lane(): 0.0, interactive: 1.0}) is None


@given(st.lists(LANES, max_size=40), LANES, st.integers(1, 20))
def test_who_has_nothing_out_may_always_send(others: list[Lane], newcomer: Lane, slots: int) -> None:
    out = Counter(each for each in others if each.owner != newcomer.owner)
    shares = Shares(Slots([Pool(models=MODELS, slots=slots)]), out)
    assert shares.pick({newcomer: 0.0}) == newcomer


@given(st.sets(LANES, min_size=1), st.integers(1, 40))
def test_nobody_takes_the_last_slot_but_owners_who_had_none(lanes: set[Lane], slots: int) -> None:
    out = filled(Slots([Pool(models=MODELS, slots=slots)]), *lanes)
    owners = {each.owner for each in lanes}
    assert out.total() <= max(slots - 1, len(owners))
    by_owner = Counter({owner: sum(n for each, n in out.items() if each.owner == owner) for owner in owners})
    lanes_of = Counter(each.owner for each in lanes)
    for owner, count in by_owner.items():
        is_hasty = any(each.priority is Priority.INTERACTIVE for each in lanes if each.owner == owner)
        most = 3 * (slots - count + is_hasty) + is_hasty
        assert count <= max(1, most) + lanes_of[owner]


@given(
    st.lists(st.tuples(LANES, st.integers(1, 9)), min_size=1, max_size=25),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_everything_is_sent_in_the_end_and_no_owner_waits_for_all_the_others_work(
    jobs: list[tuple[Lane, int]], slots: int, dice: object
) -> None:
    """Slices end in any order; an owner with work is never without a slice out after a pass."""
    waiting: dict[Lane, int] = Counter()
    for each, count in jobs:
        waiting[each] += count
    out: deque[Lane] = deque()
    while waiting or out:
        shares = Shares(Slots([Pool(models=MODELS, slots=slots)]), Counter(out))
        while (picked := shares.pick(dict.fromkeys(waiting, 0.0))) is not None:
            shares.note_sent(picked)
            out.append(picked)
            waiting[picked] -= 1
            if not waiting[picked]:
                del waiting[picked]
        assert {each.owner for each in waiting} <= {each.owner for each in out}
        del out[dice.randrange(len(out))]  # type: ignore[attr-defined]


def test_an_owners_older_work_goes_first_when_he_has_one_turn() -> None:
    crowd = Counter({lane(f"other {n}"): 1 for n in range(20)})
    waiting = {lane(model="S"): 20.0, lane(model="G"): 10.0}
    assert Shares(sixteen(), crowd).pick(waiting) == lane(model="G")


def test_interactive_work_goes_before_bulk_that_came_less_than_a_minute_earlier() -> None:
    crowd = Counter({lane(f"other {n}"): 1 for n in range(20)})
    interactive = lane(priority=Priority.INTERACTIVE)
    assert Shares(sixteen(), crowd).pick({lane(): 0.0, interactive: 50.0}) == interactive
    assert Shares(sixteen(), crowd).pick({lane(): 0.0, interactive: 70.0}) == lane()


def test_an_owners_interactive_lane_has_four_slices_out_for_one_of_his_bulk() -> None:
    interactive = lane(priority=Priority.INTERACTIVE)
    shares = Shares(UNBOUNDED, {})
    for _ in range(10):
        picked = shares.pick({lane(): 0.0, interactive: 0.0})
        assert picked is not None
        shares.note_sent(picked)
    assert (shares.of(interactive), shares.of(lane())) == (8, 2)


def test_what_the_others_have_out_counts_and_not_who_asked_first() -> None:
    shares = Shares(sixteen(), {lane("a"): 3, lane("b"): 1})
    assert shares.pick({lane("a"): 0.0, lane("b"): 100.0}) == lane("b")


def test_a_model_that_no_worker_serves_has_the_slots_said_for_it() -> None:
    slots = Slots([Pool(models=frozenset("G"), slots=4)], otherwise=8)
    assert slots.pool_of("S") == Pool(models=frozenset("S"), slots=8)
    assert filled(slots, lane(model="S")) == {lane(model="S"): 6}


def test_models_of_different_workers_have_slots_of_their_own() -> None:
    slots = Slots([Pool(models=frozenset("G"), slots=4), Pool(models=frozenset("ST"), slots=8)])
    out = filled(slots, lane(model="G"), lane(model="S"))
    assert out == {lane(model="G"): 3, lane(model="S"): 6}


def test_workers_with_a_model_in_common_share_their_slots() -> None:
    slots = Slots(Pool(models=frozenset(models), slots=4) for models in ("G", "S", "GT", "ST"))
    assert slots.pool_of("G") == slots.pool_of("T") == Pool(models=MODELS, slots=16)


def test_without_limits_everything_may_be_sent() -> None:
    shares = Shares(UNBOUNDED, Counter({lane(): 10_000}))
    assert shares.pick({lane(): 0.0}) == lane()


def test_a_worker_says_how_many_slots_it_has() -> None:
    def beat(**details: int) -> WorkerBeat:
        return WorkerBeat(
            worker_id="w", device="cpu", models=("G",), warm_models=(), loop_age_seconds=0, details=details
        )

    assert slots_of([beat(slots=3), beat()], each=5).pool_of("G").slots == 8
    assert slots_of([], each=5).pool_of("G").slots == 5
    assert slots_of([beat()], each=5).holders == frozenset({"w"})
