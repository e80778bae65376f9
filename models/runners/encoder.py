"""What sentiment and question answering share: the forward pass of an encoder over windows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from models.errors import CannotLoad
from models.registry import LoadedModel
from models.runners.batch_core import BatchCore
from models.runners.document_engine import DocumentEngine
from models.runners.plan import Piece

#: These count positions from behind the padding id, so that many fewer are left for tokens.
_OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "ibert", "data2vec-text"}
)
_UNLIMITED_TOKENS = 4096  # for models that name no limit: memory grows with the square


class EncoderEngine(DocumentEngine):
    """Pads windows to one length and runs the encoder on them."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded, BatchCore(loaded.spec, self.compute))
        if not loaded.tokenizer.is_fast:
            raise CannotLoad(
                f"model {loaded.spec.name!r}: {type(loaded.tokenizer).__name__} gives no "
                "offsets, which cutting long texts into windows needs"
            )
        self.max_tokens = max_window_tokens(loaded.tokenizer, loaded.config)
        self.pad_id = _padding_id(loaded)

    @abstractmethod
    def compute(self, pieces: Sequence[Piece]) -> list[Any]:
        """Computes one batch; a result for each piece, or a `DocumentError` in its place."""

    def forward(self, pieces: Sequence[Piece]) -> Any:
        """The model's outputs for windows whose `data` is a mapping of equally long lists of numbers."""
        device = self.loaded.device.torch
        num_tokens = max(len(piece.data["input_ids"]) for piece in pieces)
        inputs = {
            name: _padded([piece.data[name] for piece in pieces], num_tokens, padding).to(device)
            for name, padding in (("input_ids", self.pad_id), ("attention_mask", 0), ("token_type_ids", 0))
            if name in pieces[0].data
        }
        return self.loaded.model(**inputs)

    def describe(self) -> dict[str, Any]:
        """Facts and counters."""
        return {**super().describe(), "max_tokens": self.max_tokens}


def max_window_tokens(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int:
    """Tokens, special ones included, that the model reads at once."""
    limits = [_UNLIMITED_TOKENS]
    positions = getattr(config, "max_position_embeddings", None)
    if positions:
        reserved = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
        limits.append(positions - reserved)
    if tokenizer.model_max_length:
        limits.append(tokenizer.model_max_length)
    return int(min(limits))


def _padding_id(loaded: LoadedModel) -> int:
    for number in (loaded.tokenizer.pad_token_id, loaded.config.pad_token_id, loaded.tokenizer.eos_token_id):
        if number is not None:
            if loaded.config.pad_token_id is None:
                loaded.config.pad_token_id = number  # decoders that classify look for the last real token
            return int(number)
    return 0


def _padded(rows: Sequence[Sequence[int]], length: int, padding: int) -> Tensor:
    return torch.tensor([[*row, *([padding] * (length - len(row)))] for row in rows])
