"""What a model's own forward sees: a cache that hands through, and an attention function over pages.

`update` hands a layer's new keys and values on as they are; the attention function stores
them in pages and attends, by the backend of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, Cache
from transformers.masking_utils import sdpa_mask

from models.decoding.attention.own_code import Replacement, replaced, replacements_for
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState
from models.errors import NotSuited

NAME = "textmill-pages"
#: What a model may pass without it meaning anything here.
_IGNORED = frozenset({
    "dropout", "position_ids", "use_cache", "cache_position", "is_causal", "output_attentions",
    "output_hidden_states", "kwargs", "cache", "past_key_values",
})  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer's part of a step; queries, keys and values are (tokens, heads, head size) views."""

    number: int
    queries: Tensor
    keys: Tensor
    values: Tensor
    scale: float
    window: int  #: positions a token sees, itself included; 0: all before it
    bias: Tensor | None = None  #: added to the scores, (heads, tokens, places)
    cap: float = 0.0  #: scores are softened to stay below it; 0: they are not
    slopes: Tensor | None = None  #: (heads,) what a score loses for each position of distance (ALiBi)
    sinks: Tensor | None = None  #: (heads,) the score of a key that everybody sees and that has no value

    @property
    def is_plain(self) -> bool:
        """Whether scores are products and nothing else."""
        return not self.cap and self.bias is None and self.slopes is None and self.sinks is None


class AttentionBackend(Protocol):
    """A way of computing attention over pages."""

    def begin(self, state: BatchState, shape: Shape) -> None:
        """Packs a step's tokens: rows get their new pages; token ids and positions are laid out."""
        ...

    def attend(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """Stores the layer's new keys and values and attends; (tokens, heads, head size)."""
        ...


class Step(Cache):
    """The cache of one forward pass: counts for nothing, only leads the attention to its pages."""

    def __init__(self, backend: AttentionBackend, state: BatchState, pages: KVPages, shape: Shape) -> None:
        super().__init__(layers=[])
        self._backend = backend
        self._state = state
        self._pages = pages
        self._shape = shape
        #: length before each token, less its place in the step: a model that counts positions adds that
        self.past: Callable[[], Tensor | int] = int

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        """Positions are given to the model; those that count them by themselves begin here."""
        return self.past()

    def get_mask_sizes(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        """Masks are not used."""
        return 1, 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Hands new keys and values on to the attention function."""
        entries = NewEntries(self, layer_idx, key_states, value_states)
        return entries, entries

    def attend(self, entries: NewEntries, query: Tensor, scale: float, window: int, **more: Any) -> Tensor:
        """One layer's attention; `query` is (1, heads, tokens, head size), `more` is of `Layer`."""
        layer = Layer(
            entries.layer,
            query[0].transpose(0, 1),
            entries.keys[0].transpose(0, 1),
            entries.values[0].transpose(0, 1),
            scale,
            window,
            **more,
        )
        return self._backend.attend(self._state, self._pages, self._shape, layer)


@dataclass(frozen=True, eq=False)
class NewEntries:
    """Stands where a layer expects keys and values: those of the step's tokens, (1, heads, tokens, size)."""

    step: Step
    layer: int
    keys: Tensor
    values: Tensor

    @property
    def shape(self) -> torch.Size:
        """As of keys."""
        return self.keys.shape


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Any,
    value: Any,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of every token over its own document; shapes as in transformers.

    Raises:
        NotSuited: the model asks for something that is not served here.
    """
    refuse_unknown(kwargs)
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    more = {"cap": softcap or 0.0, "sinks": s_aux}
    return key.step.attend(key, query, scale, sliding_window or 0, **more)[None], None


def refuse_unknown(options: dict[str, Any]) -> None:
    """Raises when a model asks its attention for something that would be left out."""
    unknown = {name for name, given in options.items() if given is not None and given is not False} - _IGNORED
    if unknown:
        raise NotSuited(f"attention with {', '.join(sorted(unknown))}")


#: By model and function: what is changed while it is ours.
_TAKING: WeakKeyDictionary[Any, dict[str, _Taking]] = WeakKeyDictionary()


@contextmanager
def attending(model: Any, name: str = NAME) -> Iterator[None]:
    """Lets a model call an attention function of ours, as long as it lasts.

    `generate` uses the same model in between, by functions of its own.

    Raises:
        NotSuited: its code calls no function of anybody's choice.
    """
    taking = _TAKING.setdefault(model, {})
    if name not in taking:
        taking[name] = _taking(model, name)
    configs = taking[name].configs
    before = [config._attn_implementation for config in configs]
    for config in configs:
        config._attn_implementation_internal = name
    try:
        with replaced(taking[name].replacements):
            yield
    finally:
        for config, implementation in zip(configs, before, strict=True):
            config._attn_implementation_internal = implementation


@dataclass(frozen=True)
class _Taking:
    """What of a model is changed while it calls an attention function of ours."""

    configs: Sequence[Any]  #: of the model and its parts, that name the function
    replacements: Sequence[Replacement]


def _taking(model: Any, name: str) -> _Taking:
    replacements = replacements_for(model) if name == NAME else []
    configs = _configurations_taking(model, name)
    if not replacements and not any(config is model.config for config in configs):
        raise NotSuited("attention that its own code computes")
    return _Taking(configs, replacements)


def _configurations_taking(model: Any, name: str) -> list[Any]:
    """Those that transformers' own setter changes, which goes over all modules: too long for each step."""
    parts = [part.config for part in model.modules() if hasattr(part, "config")]
    found = {id(config): config for config in parts if hasattr(config, "_attn_implementation_internal")}
    before = [(config, config._attn_implementation) for config in found.values()]
    model.set_attn_implementation(name)
    taking = [config for config in found.values() if config._attn_implementation == name]
    for config, implementation in before:
        config._attn_implementation_internal = implementation
    return taking  # none where all that the setter does is write a warning


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
