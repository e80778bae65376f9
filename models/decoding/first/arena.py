"""Where keys and values are kept: arenas of equally large slots, one slot for each document.

A document of `width` sequences (beams, return sequences) has one slot. Its entries are
the prompt, stored once for all of its sequences, and then `width` entries a step, one
of each sequence. Which sequence sees which entry is a row of `bias`; so when a beam
search lets one sequence continue another, a few numbers are reordered and no key or
value is ever copied.

The documents that decode have the first slots of their arena, without gaps: the
attention of all of them is one call on a view. A slot that is left is filled with the
last one; a document that outgrows its slot moves to an arena of larger ones.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

_FIRST_SLOTS = 4
#: Room for so many entries costs nothing on a CPU before it is written: the system gives it page by
#: page. Growing costs a copy, and fresh pages for all of it.
_RESERVED_ENTRIES = 16_384
_SMALLEST_CAPACITY = 32


@dataclass(eq=False)
class Tenant:
    """A document's place in an arena."""

    width: int
    num_entries: int = 0  #: filled and counted
    prompt_entries: int = 0  #: those that all of its sequences see
    arena: Arena = field(init=False)
    slot: int = field(init=False, default=-1)


class Arena:
    """Slots of one width and capacity, for all layers of a model."""

    def __init__(
        self, width: int, capacity: int, *, dtype: torch.dtype, device: torch.device, is_clean: bool
    ) -> None:
        self.width = width
        self.capacity = capacity
        self.tenants: list[Tenant] = []
        self.num_active = 0  #: the first so many tenants decode; those behind are still being filled
        self.hidden = torch.finfo(dtype).min
        #: added to attention scores: 0 where a sequence sees an entry; (slots, width, capacity)
        num_slots = max(_FIRST_SLOTS, _RESERVED_ENTRIES // capacity if device.type == "cpu" else 0)
        self.bias = torch.full((num_slots, width, capacity), self.hidden, dtype=dtype, device=device)
        self._keys: dict[int, Tensor] = {}  # by layer: (slots, heads, capacity, head size)
        self._values: dict[int, Tensor] = {}
        #: Whether hidden entries are numbers. Fresh memory holds anything; where hidden entries are
        #: computed with, a NaN among them would be seen.
        self._is_clean = is_clean
        self._num_clean = 0  #: slots, the first ones

    def enter(self, tenant: Tenant) -> None:
        """Gives a slot behind all others, with nothing visible in it."""
        if len(self.tenants) == self.bias.shape[0]:
            self._grow()  # may find no memory: nothing has changed then
        tenant.arena, tenant.slot = self, len(self.tenants)
        self.tenants.append(tenant)
        if self._is_clean and tenant.slot == self._num_clean:
            self._num_clean += 1
            for stored in self._stored():
                stored[tenant.slot] = 0
        self.bias[tenant.slot] = self.hidden

    def activate(self, tenant: Tenant) -> None:
        """Counts a tenant among those that decode."""
        if tenant.slot != self.num_active:
            self._swap(tenant.slot, self.num_active)
        self.num_active += 1
        if not tenant.prompt_entries:
            tenant.prompt_entries = tenant.num_entries

    def leave(self, tenant: Tenant, *, wipe: bool = False) -> None:
        """Frees a slot.

        `wipe` is for a document that failed: a NaN left behind would reach the next
        tenant, hidden or not.
        """
        if wipe:
            for stored in self._stored():
                stored[tenant.slot] = 0
        self._close_gap(tenant.slot)

    def move(self, tenant: Tenant, target: Arena) -> None:
        """Takes a tenant that decodes to an arena of other slots."""
        source, used = tenant.slot, slice(tenant.num_entries)
        target.enter(tenant)
        try:
            for layer in self._keys:
                mine = self.layer(layer)
                for old, new in zip(mine, target.layer(layer, like=mine[0]), strict=True):
                    new[tenant.slot, :, used] = old[source, :, used]
            target.bias[tenant.slot, :, used] = self.bias[source, :, used]
            target.activate(tenant)
        except Exception:  # without memory it stays where it is
            target.tenants.pop()
            tenant.arena, tenant.slot = self, source
            raise
        self._close_gap(source)

    def layer(self, index: int, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A layer's keys and values; made when first asked for, with the heads of `like`."""
        if index not in self._keys:
            assert like is not None, "a layer is written before it is read"
            _, num_heads, _, head_size = like.shape  # (any, heads, any, head size)
            shape = (self.bias.shape[0], num_heads, self.capacity, head_size)
            made = [like.new_empty(shape) for _ in range(2)]  # both or, without memory, neither
            for stored in made:
                stored[: self._num_clean] = 0
            self._keys[index], self._values[index] = made
        return self._keys[index], self._values[index]

    @property
    def num_bytes(self) -> int:
        """Bytes allocated."""
        return sum(t.numel() * t.element_size() for t in (*self._stored(), self.bias))

    def _stored(self) -> Iterator[Tensor]:
        yield from self._keys.values()
        yield from self._values.values()

    def _grow(self) -> None:
        bias = _doubled(self.bias)
        keys, values = (
            {layer: _doubled(one) for layer, one in stored.items()} for stored in (self._keys, self._values)
        )
        self.bias, self._keys, self._values = bias, keys, values

    def _close_gap(self, hole: int) -> None:
        if hole < self.num_active:
            self.num_active -= 1
            self._fill(hole, self.num_active)
            hole = self.num_active
        self._fill(hole, len(self.tenants) - 1)
        self.tenants.pop()

    def _fill(self, hole: int, slot: int) -> None:
        if slot == hole:
            return
        tenant = self.tenants[slot]
        used = slice(tenant.num_entries)
        for stored in self._stored():
            stored[hole, :, used] = stored[slot, :, used]
        self.bias[hole] = self.bias[slot]
        self.tenants[hole], tenant.slot = tenant, hole

    def _swap(self, one: int, other: int) -> None:
        first, second = self.tenants[one], self.tenants[other]
        # What lies behind has perhaps never been touched, and pages would be made for it.
        used = slice(max(first.num_entries, second.num_entries))
        pairs = [(stored[one, :, used], stored[other, :, used]) for stored in self._stored()]
        pairs.append((self.bias[one], self.bias[other]))
        copies = [mine.clone() for mine, _ in pairs]  # all of them before anything is written
        for copied, (mine, theirs) in zip(copies, pairs, strict=True):
            mine.copy_(theirs)
            theirs.copy_(copied)
        self.tenants[one], self.tenants[other] = second, first
        first.slot, second.slot = other, one


class ArenaSet:
    """All arenas of one kind of attention, by width and capacity."""

    def __init__(self, *, dtype: torch.dtype, device: torch.device, is_clean: bool) -> None:
        self._make = functools.partial(Arena, dtype=dtype, device=device, is_clean=is_clean)
        self._arenas: dict[tuple[int, int], Arena] = {}

    def __iter__(self) -> Iterator[Arena]:
        return iter(self._arenas.values())

    def enter(self, tenant: Tenant, num_entries: int) -> None:
        """Gives a slot with room for so many entries."""
        self._for(tenant.width, num_entries).enter(tenant)

    def make_room(self, tenant: Tenant, num_more: int) -> None:
        """Moves a tenant that decodes to a larger slot if so many entries do not fit its own."""
        needed = tenant.num_entries + num_more
        if needed > tenant.arena.capacity:
            tenant.arena.move(tenant, self._for(tenant.width, needed))

    def drop_empty(self) -> None:
        """Frees the memory of arenas nobody is in."""
        self._arenas = {key: arena for key, arena in self._arenas.items() if arena.tenants}

    @property
    def num_bytes(self) -> int:
        """Bytes allocated."""
        return sum(arena.num_bytes for arena in self)

    def _for(self, width: int, num_entries: int) -> Arena:
        capacity = capacity_for(num_entries)
        key = (width, capacity)
        if key not in self._arenas:
            self._arenas[key] = self._make(width, capacity)
        return self._arenas[key]


def capacity_for(num_entries: int) -> int:
    """The slot size that holds so many entries: a power of two, so that few arenas serve all lengths."""
    return max(_SMALLEST_CAPACITY, 1 << (num_entries - 1).bit_length())


def _doubled(stored: Tensor) -> Tensor:
    """With as many slots again behind those there are, in which anything may stand."""
    larger = stored.new_empty((2 * len(stored), *stored.shape[1:]))
    larger[: len(stored)] = stored
    return larger
