"""What a model changes in itself while it computes, put back before the next pass.

Some remember: BigBird, given one short text, reads every later one with full attention;
tables of rotary positions grow with the longest text and stay so. A document would depend
on those before it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

_SIMPLE = (bool, int, float, str, type(None))


class OwnState:
    """Finds out what changes when a pass is shorter or longer than all before, and puts it back."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        self._before = [_state_of(module) for module in self._modules]
        self._changing: dict[tuple[int, str, str], None] = {}
        self._shortest, self._longest = float("inf"), 0.0

    def note(self, num_tokens: int) -> None:
        """A pass over rows of this length has ended."""
        if self._shortest <= num_tokens <= self._longest:
            return
        self._shortest, self._longest = min(self._shortest, num_tokens), max(self._longest, num_tokens)
        for number, (module, before) in enumerate(zip(self._modules, self._before, strict=True)):
            for kind, values in before.items():
                now = _places_of(module)[kind]
                for name, value in values.items():
                    if now.get(name) is not value and not _equal(now.get(name), value):
                        self._changing[number, kind, name] = None

    def restore(self) -> None:
        """Puts back what is known to change."""
        for number, kind, name in self._changing:
            _places_of(self._modules[number])[kind][name] = self._before[number][kind][name]


def _places_of(module: nn.Module) -> dict[str, dict[str, Any]]:
    return {"attributes": vars(module), "buffers": module._buffers, "modules": module._modules}


def _state_of(module: nn.Module) -> dict[str, dict[str, Any]]:
    places = _places_of(module)
    simple = {name: value for name, value in places["attributes"].items() if isinstance(value, _SIMPLE)}
    return {"attributes": simple, "buffers": dict(places["buffers"]), "modules": dict(places["modules"])}


def _equal(one: Any, other: Any) -> bool:
    return isinstance(one, _SIMPLE) and isinstance(other, _SIMPLE) and one == other
