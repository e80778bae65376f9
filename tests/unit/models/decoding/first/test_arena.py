"""Slots of keys and values: what a new tenant finds, and what growing keeps."""

from __future__ import annotations

import torch

from models.decoding.first.arena import Arena, ArenaSet, Tenant

_CPU = torch.device("cpu")
_LIKE = torch.zeros((1, 2, 1, 4))  # 2 heads of size 4


def _arena(capacity: int) -> Arena:
    return Arena(1, capacity, dtype=torch.float32, device=_CPU, is_clean=True)


def test_a_slot_used_for_the_first_time_holds_zeros_whatever_the_memory_held() -> None:
    """A NaN that fresh memory happens to hold would reach the attention, hidden or not."""
    arena = _arena(32)
    arena.enter(Tenant(1))
    stored = arena.layer(0, like=_LIKE)
    assert all((tensor[0] == 0).all() for tensor in stored)
    for tensor in stored:
        tensor[1:] = torch.nan
    second = Tenant(1)
    arena.enter(second)
    assert all((tensor[second.slot] == 0).all() for tensor in stored)


def test_an_arena_that_grows_keeps_what_its_tenants_stored() -> None:
    arena = _arena(8192)
    tenants = [Tenant(1) for _ in range(9)]
    for number, tenant in enumerate(tenants):
        arena.enter(tenant)
        for tensor in arena.layer(0, like=_LIKE):
            tensor[tenant.slot] += number
        arena.bias[tenant.slot, 0, number] = 0
    for tensor in arena.layer(0):
        assert len(tensor) >= len(tenants)
        assert [float(tensor[tenant.slot].unique()) for tenant in tenants] == list(map(float, range(9)))
    visible = [(arena.bias[tenant.slot, 0] == 0).nonzero().flatten().tolist() for tenant in tenants]
    assert visible == [[number] for number in range(9)]


def test_memory_of_arenas_without_tenants_is_given_back() -> None:
    arenas = ArenaSet(dtype=torch.float32, device=_CPU, is_clean=True)
    short, long = Tenant(1), Tenant(1)
    arenas.enter(short, 20)
    arenas.enter(long, 200)
    for arena in arenas:
        arena.layer(0, like=_LIKE)
    short.arena.leave(short)
    arenas.drop_empty()
    assert [arena.tenants for arena in arenas] == [[long]]
    long.arena.leave(long)
    arenas.drop_empty()
    assert arenas.num_bytes == 0
