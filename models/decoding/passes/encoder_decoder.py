"""An encoder-decoder's own forward pass as one fixed program, and the pass that fills its sources' pages.

The decoder's tokens of a step are one for each row. Some architectures count the positions of
one long sequence right (BART and its kin), some only those of many short ones (T5, M2M100):
`Layout`, which is tried at loading.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, Cache, EncoderDecoderCache
from transformers.masking_utils import sdpa_mask

from models.decoding.attention.interface import attending, refuse_unknown
from models.decoding.grammars.masks import StepMasks
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.head import Head
from models.decoding.passes.joint_step import Entries, JointStep, SourceBackend
from models.decoding.passes.steps import Program
from models.decoding.sampling.slow_lane import SlowRows
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.paired_pages import PairedPages
from models.loading.registry import LoadedModel

if TYPE_CHECKING:
    from models.decoding.fused.fusion import Fusion

NAME = "textmill-pages-by-row"


class EncoderDecoderForward:
    """The encoder, and the decoder with its head."""

    def __init__(self, loaded: LoadedModel, layout: Layout, fusion: Fusion | None = None) -> None:
        """Looks at what the model takes.

        Args:
            loaded: the model.
            layout: of the decoder's tokens.
            fusion: kernels that take the place of several of the decoder's own.
        """
        self.model: Any = loaded.model
        self.layout = layout
        self.head: Head | None = None  #: takes the place of the model's own
        self._fusion = fusion
        self.device = loaded.device.torch
        takes = inspect.signature(self.model.forward).parameters
        self._cache_name = "cache" if "cache" in takes else "past_key_values"
        dtype = torch.float32 if loaded.dtype == "int8" else self.model.dtype
        # Passes through the models' mask making untouched; our attention knows better.
        self._any_mask = torch.zeros((1, 1, 1, 1), dtype=dtype, device=self.device)
        self._no_states = torch.zeros((1, 1, 1), dtype=dtype, device=self.device)
        self._numbers = torch.arange(4096, device=self.device)

    @property
    def is_fused(self) -> bool:
        """Whether some modules compute by fused kernels."""
        return self._fusion is not None and self._fusion.num_replaced > 0

    def leave_plain(self) -> None:
        """From now on every module computes as transformers wrote it."""
        self._fusion = None

    @contextmanager
    def made_ours(self) -> Iterator[None]:
        """The model calls our attention and our kernels, as long as it lasts."""
        fused = nullcontext() if self._fusion is None else self._fusion.in_force()
        with attending(self.model, NAME), fused:
            yield

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What the decoder attends to, (documents, tokens, hidden size); by its own attention."""
        states: Tensor = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def decode(self, token_ids: Tensor, positions: Tensor, caches: tuple[Cache, Cache]) -> Tensor:
        """Scores (rows, vocabulary) of what follows tokens (rows,) whose sources are in pages."""
        return self._decode(token_ids, caches, self._no_states, is_filled=True)

    def fill(self, start_ids: Tensor, caches: tuple[Cache, Cache], states: Tensor) -> Tensor:
        """Hands the keys and values of encoded sources (documents, tokens, hidden size) to the caches.

        Returns:
            The scores of what follows the first tokens (documents,), as far as the caches attend.
        """
        return self._decode(start_ids, caches, states, is_filled=False)

    def past(self, positions: Tensor) -> Tensor:
        """What the cache says its length is, so that the model counts every row's own position."""
        if self.layout is Layout.PACKED:
            return positions - self._numbers[: len(positions)]
        return positions[:, None]

    def _decode(
        self, token_ids: Tensor, caches: tuple[Cache, Cache], states: Tensor, *, is_filled: bool
    ) -> Tensor:
        joint = EncoderDecoderCache(*caches)
        joint.is_updated = _Always(is_filled)
        model = self.model if self.head is None else self.model.base_model
        result = model(
            encoder_outputs=(states,),
            attention_mask=self._any_mask,
            decoder_input_ids=token_ids[None] if self.layout is Layout.PACKED else token_ids[:, None],
            decoder_attention_mask=self._any_mask,
            use_cache=True,
            **{self._cache_name: joint},
        )
        scores: Tensor = result.logits if self.head is None else self.head(result.last_hidden_state)
        return scores.flatten(0, 1)


class _Always(dict[int, bool]):
    """The same answer for every layer, whatever a model notes."""

    def __init__(self, answer: bool) -> None:
        super().__init__()
        self._answer = answer

    def get(self, key: int, default: Any = None) -> Any:
        return self._answer

    def __getitem__(self, key: int) -> bool:
        return self._answer


@dataclass(frozen=True)
class EncoderDecoderProgram(Program):
    """From the inbox to chosen tokens; sources are in pages already."""

    forward: EncoderDecoderForward  # type: ignore[assignment]
    attention: SourceBackend
    state: GroupState
    pages: PairedPages

    def run(self, shape: Shape, slow: SlowRows = (), masks: StepMasks | None = None) -> None:
        """As `Program.run`; who keeps to a grammar is chosen for on the host (`slow`)."""
        state = self.state
        self.attention.begin(state, shape)
        rows = slice(shape.num_rows)
        positions = state.positions[rows]
        step = JointStep(self.attention, state, self.pages, shape, past=self.forward.past(positions))
        scores = self.forward.decode(state.token_ids[rows], positions, step.caches)
        self.sampler_beside(slow).choose(state, shape, scores)


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Entries,
    value: Any,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of every row over its own document; shapes as in transformers.

    Raises:
        NotSuited: the model asks for something that is not served here.
    """
    refuse_unknown(kwargs)
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    mixed = key.attend(query, scale, sliding_window or 0, position_bias)
    return (mixed[None] if query.shape[0] == 1 else mixed[:, None]), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
