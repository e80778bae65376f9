"""A process that does what the test says."""

from __future__ import annotations


class FakeProcess:
    """Implements `textmill.stack.child.Process`; a signal it does not ignore ends it."""

    def __init__(self, pid: int, *, ignores: tuple[int, ...] = ()) -> None:
        self.pid = pid
        self.code: int | None = None
        self.signals: list[int] = []
        self._ignores = ignores

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, sig: int, /) -> None:
        self.signals.append(sig)
        if sig not in self._ignores:
            self.code = -sig
