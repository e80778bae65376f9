"""Reads the sources of documents that enter, and puts what decoders attend to into pages.

Documents of about the same length are read together, within a bound of padded tokens for one
pass. Where a pass raises, its documents are read in halves, until whoever is at fault is alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.decoding.passes.encoder_decoder import EncoderDecoderForward
from models.decoding.passes.head import head_of
from models.decoding.passes.joint_step import Entries, Ignored
from models.decoding.passes.reading import Readings, columns_for, fill, stage_source
from models.decoding.recovery import told
from models.decoding.scheduling.group import Group
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.kv_pages import LayerSize
from models.errors import DocumentError, NotSuited
from models.memory import is_out_of_memory, release_cached_memory

logger = logging.getLogger(__name__)

#: How far apart two products of the same numbers may be, as a share of the largest.
_ROUNDING = 1e-4


class Encoding:
    """The encoder's passes."""

    def __init__(self, readings: Readings, *, max_tokens: int, pad_id: int) -> None:
        """Sets up.

        Args:
            readings: runs the passes.
            max_tokens: of one pass, padding included; a longer document is read alone.
            pad_id: the token that pads.
        """
        self._readings = readings
        self._max_tokens, self._pad_id = max_tokens, pad_id

    def encode(self, groups: Sequence[Group]) -> list[tuple[Group, DocumentError]]:
        """Reads the sources of groups that have their pages; those that failed, and why."""
        failures: list[tuple[Group, DocumentError]] = []
        for some in alike(groups, self._max_tokens, self._readings.width_for):
            failures += self._apart(some)
        return failures

    def release(self) -> None:
        """Gives back the memory of whatever can be made again."""
        self._readings.release()

    def _apart(self, groups: Sequence[Group]) -> list[tuple[Group, DocumentError]]:
        try:
            self._encode(groups)
        except torch.AcceleratorError:
            raise  # the device itself has failed: nothing can be computed in this process any more
        except Exception as error:
            if is_out_of_memory(error):
                self.release()
                release_cached_memory()
            if len(groups) == 1:
                return [(groups[0], told(error))]
            extra = {"action": "encoding_divided", "num_documents": len(groups)}
            logger.warning("encoding divided", extra={**extra, "reason": type(error).__name__})
            middle = len(groups) // 2
            return self._apart(groups[:middle]) + self._apart(groups[middle:])
        return []

    def _encode(self, groups: Sequence[Group]) -> None:
        width = self._readings.width_for(max(len(group.source_ids) for group in groups))
        inbox = np.zeros((len(groups), columns_for(width)), np.int32)
        inbox[:, :width] = self._pad_id
        for row, group in zip(inbox, groups, strict=True):
            length = len(group.source_ids)
            stage_source(row, group.source_ids, group.source_pages[np.arange(length) // PAGE_TOKENS])
        inbox[:, -1] = [group.input_ids[0] for group in groups]
        self._readings.run(inbox)


def alike(
    groups: Sequence[Group], max_tokens: int, width_for: Callable[[int], int] = int
) -> list[list[Group]]:
    """Groups by the length of their sources, as many together as fit when padded to the longest."""
    found: list[list[Group]] = []
    for group in sorted(groups, key=lambda each: len(each.source_ids)):
        if found and width_for(len(group.source_ids)) * (len(found[-1]) + 1) <= max_tokens:
            found[-1].append(group)
        else:
            found.append([group])
    return found


@dataclass(frozen=True)
class Measures:
    """Of a model."""

    own: list[LayerSize]  #: the decoder's keys, by layer
    sources: list[LayerSize]  #: the keys of what the encoder reads
    num_heads: int  #: most query heads of a layer
    dtype: torch.dtype  #: of keys and values
    vocabulary: int

    @property
    def head_size(self) -> int:
        """Largest of a layer."""
        return max(layer.head_size for layer in self.own)


def measure(forward: EncoderDecoderForward) -> Measures:
    """What the layers keep, and how many tokens there are, by trying one.

    Raises:
        NotSuited: keys and values that pages do not hold.
    """
    own: dict[int, LayerSize] = {}
    sources: dict[int, LayerSize] = {}
    num_heads: set[int] = set()
    dtypes: set[torch.dtype] = set()
    ids = torch.zeros((1, 2), dtype=torch.long, device=forward.device)

    def note(sizes: dict[int, LayerSize], layer: int, keys: Tensor, values: Tensor) -> None:
        # Own keys are (rows, heads, size), those of sources (documents, heads, tokens, size).
        if keys.shape != values.shape:
            raise NotSuited("keys and values of different sizes")
        sizes[layer] = LayerSize(keys.shape[1], keys.shape[-1], keys.shape[-1])
        dtypes.add(keys.dtype)

    def note_own(layer: int, keys: Tensor, values: Tensor) -> Entries:
        note(own, layer, keys, values)
        return Ignored(num_heads)

    with torch.inference_mode():
        states = forward.encode(ids, torch.ones_like(ids))
        scores = fill(forward, ids[0, :1], states, partial(note, sources), note_own)
    numbers = list(range(len(own)))
    if not numbers or sorted(own) != numbers or sorted(sources) != numbers:
        raise NotSuited("layers that share their keys, or have none")
    most = max(num_heads)
    if len(num_heads) > 1 or any(most % size.num_heads for size in (*own.values(), *sources.values())):
        raise NotSuited("layers of different numbers of heads")
    if len(dtypes) > 1:
        raise NotSuited("layers of different precision")
    return Measures(
        own=[own[number] for number in numbers],
        sources=[sources[number] for number in numbers],
        num_heads=most,
        dtype=dtypes.pop(),
        vocabulary=scores.shape[1],
    )


def take_head_apart(forward: EncoderDecoderForward) -> None:
    """Has scores computed by one product of a good size, where they come out as by the model's own code."""
    if forward.model.base_model is forward.model:
        return
    ids = torch.zeros((1, 2), dtype=torch.long, device=forward.device)
    with torch.inference_mode():
        states = forward.encode(ids, torch.ones_like(ids))
        whole = fill(forward, ids[0, :1], states, lambda *_: None)
        forward.head = head_of(forward.model)
        if forward.head is None:
            return
        apart = fill(forward, ids[0, :1], states, lambda *_: None)[:, : whole.shape[1]]
        apart_by = float((apart - whole).abs().max() / whole.abs().max())
        if not apart_by <= max(_ROUNDING, 4 * torch.finfo(whole.dtype).eps):
            forward.head = None
