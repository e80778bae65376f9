"""A document inside the engine: what is searched, and where its keys and values are."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.decoding.first.arena import Tenant
from models.decoding.first.scheduler import Request
from models.decoding.first.turn import Search


@dataclass(eq=False)
class Decoding:
    """One request that runs."""

    request: Request
    search: Search
    own: Tenant  #: its place in the self-attention's arenas
    cross: Tenant | None = None  #: in the cross-attention's, of an encoder-decoder
    #: tokens in the cache, of each sequence
    num_positions: int = field(default=0, init=False)
    is_active: bool = field(default=False, init=False)

    @property
    def input_ids(self) -> list[int]:
        """What the encoder reads, or a decoder begins with."""
        return self.search.options.prompt.input_ids

    def leave(self, *, wipe: bool = False) -> None:
        """Gives its slots back."""
        for tenant in (self.own, self.cross):
            if tenant is not None and tenant.slot >= 0:
                tenant.arena.leave(tenant, wipe=wipe)
                tenant.slot = -1
