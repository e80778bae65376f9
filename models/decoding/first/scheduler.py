"""Who is computed in the next step. Pure policy: no torch, no model, no clock.

Requests come in the order in which documents were taken in, which is fair already
(by priority, then in turn by job; see `models/tasks/documents/waiting.py`). Here they wait for
rows and for room in the cache, are filled in chunks of a token budget, and decode until
they are done. Nobody is preempted unless the cache is full; then the one that came last
starts again later, which loses time but, being reproducible, nothing else.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What fits the device."""

    max_rows: int  #: sequences in one step
    max_entries: int  #: tokens in the cache, over all sequences
    max_chunk_tokens: int  #: prompt tokens computed in one step
    #: free rows worth waiting for, so that newcomers are computed together; 1: admit at once
    min_free_rows: int = 1

    @property
    def urgent_rows(self) -> int:
        """Rows beyond the limit, kept for requests more urgent than the least urgent inside."""
        return max(1, self.max_rows // 4)


@dataclass(kw_only=True, eq=False)
class Request:
    """One text to decode."""

    key: Hashable
    prompt_tokens: int
    max_new_tokens: int
    width: int = 1  #: sequences decoded side by side
    priority: float = 6.0  #: lower is sooner
    data: Any = None
    num_restarts: int = 0
    prefilled_tokens: int = field(default=0, init=False)
    new_tokens: int = field(default=0, init=False)  #: of each sequence
    arrival: int = field(default=-1, init=False)

    @property
    def is_prefilled(self) -> bool:
        """Whether it decodes."""
        return self.prefilled_tokens >= self.prompt_tokens

    @property
    def entries(self) -> int:
        """Cache entries it has, counting the whole prompt."""
        return self.prompt_tokens + self.width * self.new_tokens

    @property
    def reserved_entries(self) -> int:
        """Entries counted for it: a guess at first, all it may need once it had to start again."""
        guess = self.max_new_tokens if self.num_restarts else min(self.max_new_tokens, _GUESSED_TOKENS)
        return max(self.entries, self.prompt_tokens + self.width * guess)

    @property
    def order(self) -> tuple[float, int]:
        """Who comes first."""
        return (self.priority, self.arrival)


#: New tokens of a sequence that are counted before any is there.
_GUESSED_TOKENS = 64


@dataclass(frozen=True)
class Chunk:
    """A part of a prompt that is computed in one step."""

    request: Request
    start: int
    num_tokens: int

    @property
    def is_last(self) -> bool:
        """Whether the prompt is complete with it."""
        return self.start + self.num_tokens == self.request.prompt_tokens


class Scheduler:
    """Requests that wait and requests that run."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.running: dict[Hashable, Request] = {}
        self._waiting: list[Request] = []  # in order
        self._arrivals = 0

    @property
    def num_waiting(self) -> int:
        """Requests that wait to be admitted."""
        return len(self._waiting)

    @property
    def best_waiting_priority(self) -> float | None:
        """Of the request that is admitted next."""
        return self._waiting[0].priority if self._waiting else None

    @property
    def num_rows(self) -> int:
        """Rows of what runs."""
        return sum(request.width for request in self.running.values())

    @property
    def num_entries(self) -> int:
        """Cache entries that are there or spoken for."""
        return sum(request.reserved_entries for request in self.running.values())

    def add(self, request: Request) -> None:
        """Queues a request behind those of its priority."""
        request.arrival = self._arrivals
        self._arrivals += 1
        bisect.insort(self._waiting, request, key=lambda each: each.order)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Forgets requests, wherever they are."""
        self._waiting = [request for request in self._waiting if request.key not in keys]
        for key in keys:
            self.running.pop(key, None)

    def admit(self, max_requests: int | None = None) -> list[Request]:
        """Lets in who fits, in order, up to the first who does not."""
        admitted: list[Request] = []
        if not self._is_worth_admitting():
            return admitted
        num_rows, num_entries = self.num_rows, self.num_entries
        while self._waiting and (max_requests is None or len(admitted) < max_requests):
            request = self._waiting[0]
            if self.running and not self._fits(request, num_rows, num_entries):
                break
            num_rows += request.width
            num_entries += request.reserved_entries
            self.running[request.key] = request
            admitted.append(self._waiting.pop(0))
        return admitted

    def chunks(self) -> list[Chunk]:
        """The prompt tokens of the next step, the most urgent first, none above the budget."""
        room, chunks = self.limits.max_chunk_tokens, []
        filling = (request for request in self.running.values() if not request.is_prefilled)
        for request in sorted(filling, key=lambda each: each.order):
            num_tokens = min(room, request.prompt_tokens - request.prefilled_tokens)
            if not num_tokens:
                break
            chunks.append(Chunk(request, request.prefilled_tokens, num_tokens))
            room -= num_tokens
        return chunks

    def decoding(self) -> list[Request]:
        """Those whose prompt is complete."""
        return [request for request in self.running.values() if request.is_prefilled]

    def preempt(self) -> list[Request]:
        """Sends back whom the cache has no room for, the last to come first; at least one stays."""
        sent_back: list[Request] = []
        while self.num_entries > self.limits.max_entries and len(self.running) > 1:
            last = max(self.running.values(), key=lambda each: each.order)
            self.send_back(last)
            sent_back.append(last)
        return sent_back

    def send_back(self, request: Request) -> None:
        """Lets a request start again when there is room."""
        del self.running[request.key]
        request.prefilled_tokens = request.new_tokens = 0
        request.num_restarts += 1
        bisect.insort(self._waiting, request, key=lambda each: each.order)

    def alike(self, requests: Sequence[Request], max_padded_tokens: int) -> list[list[Request]]:
        """Groups of like prompt length, for an encoder that pads; none above the budget unless alone."""
        groups: list[list[Request]] = []
        for request in sorted(requests, key=lambda each: -each.prompt_tokens):
            if not groups or (len(groups[-1]) + 1) * groups[-1][0].prompt_tokens > max_padded_tokens:
                groups.append([])
            groups[-1].append(request)
        return groups

    def _is_worth_admitting(self) -> bool:
        free = self.limits.max_rows - self.num_rows
        wanted = sum(request.width for request in self._waiting[: self.limits.min_free_rows])
        return (
            not self.running
            or free >= min(self.limits.min_free_rows, wanted)
            or self._is_urgent(self._waiting)
        )

    def _is_urgent(self, requests: Sequence[Request]) -> bool:
        """Whether the first is more urgent than somebody inside."""
        return bool(requests) and any(r.priority > requests[0].priority for r in self.running.values())

    def _fits(self, request: Request, num_rows: int, num_entries: int) -> bool:
        wanted = min(request.width, self.limits.max_rows)  # one that is wider has them all
        return (
            wanted <= self._room_for(request, num_rows)
            and num_entries + request.reserved_entries <= self.limits.max_entries
        )

    def _room_for(self, request: Request, num_rows: int) -> int:
        """Rows that a request may take.

        Those kept for urgent ones are beyond the limit on both sides: however wide one of the
        others may be, it has none of them, and who has them takes none from the others.
        """
        kept = self.limits.urgent_rows
        ahead = sum(each.width for each in self.running.values() if each.priority < request.priority)
        room = self.limits.max_rows - num_rows + min(ahead, kept)
        if not self._is_urgent([request]):
            return room
        equal = sum(each.width for each in self.running.values() if each.priority == request.priority)
        return max(room, kept - ahead - equal, self.limits.max_rows + kept - num_rows)
