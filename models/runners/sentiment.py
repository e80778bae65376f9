"""Sentiment: a label and its score for each text.

A text that is longer than the model reads at once is cut into overlapping windows; its
scores are the mean of the windows' scores, weighted by the tokens each window adds, so
that every token of the text counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.errors import DocumentError, NotFinite
from models.records import DocumentInput, DocumentOutput
from models.registry import LoadedModel
from models.runners.document_engine import OpenDocument, PieceData, Prepared
from models.runners.encoder import EncoderEngine
from models.runners.plan import Piece

_MAX_OVERLAP_TOKENS = 64


class SentimentEngine(EncoderEngine):
    """Classifies texts; labels are the model's own."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded)
        names: Any = loaded.config.id2label  # transformers fills it, with LABEL_0, ... if need be
        self._labels = [str(names[number]) for number in sorted(names)]
        self._num_special = loaded.tokenizer.num_special_tokens_to_add(pair=False)
        self._overlap_tokens = min(_MAX_OVERLAP_TOKENS, (self.max_tokens - self._num_special) // 4)

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """Cuts every text into its windows."""
        encoded = self.loaded.tokenizer(
            [document.text for document in documents],
            truncation=True,
            max_length=self.max_tokens,
            stride=self._overlap_tokens,
            return_overflowing_tokens=True,
        )
        owners = encoded.pop("overflow_to_sample_mapping")
        windows: list[list[dict[str, list[int]]]] = [[] for _ in documents]
        for number, owner in enumerate(owners):
            windows[owner].append({name: values[number] for name, values in encoded.items()})
        return [self._prepared(each) for each in windows]

    def compute(self, pieces: Sequence[Piece]) -> list[Tensor | DocumentError]:
        """The scores of each window."""
        logits = self.forward(pieces).logits.float()
        scores = self._scores(logits).cpu()
        is_finite = torch.isfinite(logits).all(dim=-1).tolist()
        return [row if fine else NotFinite() for row, fine in zip(scores, is_finite, strict=True)]

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """The weighted mean over the windows, best label first."""
        weights = torch.tensor(opened.facts, dtype=torch.float32)
        mean = (torch.stack(opened.results) * (weights / weights.sum())[:, None]).sum(dim=0)
        ranked = sorted(zip(mean.tolist(), self._labels, strict=True), key=lambda pair: -pair[0])
        top_k = opened.document.params.get("top_k") or len(ranked)
        return DocumentOutput(
            key=opened.document.key,
            output={
                "label": ranked[0][1],
                "score": ranked[0][0],
                "scores": {label: score for score, label in ranked[:top_k]},
            },
            input_tokens=opened.input_tokens,
            provenance=self.loaded.provenance,
        )

    def describe(self) -> dict[str, Any]:
        """Facts and counters."""
        return {**super().describe(), "labels": self._labels}

    def _prepared(self, windows: Sequence[dict[str, list[int]]]) -> Prepared:
        lengths = [len(window["input_ids"]) for window in windows]
        new_tokens = [length - self._num_special for length in lengths]
        new_tokens[1:] = [length - self._overlap_tokens for length in new_tokens[1:]]
        return Prepared(
            pieces=[
                PieceData(num_tokens=length, data=window)
                for length, window in zip(lengths, windows, strict=True)
            ],
            input_tokens=sum(new_tokens),
            facts=[max(1, tokens) for tokens in new_tokens],
        )

    def _scores(self, logits: Tensor) -> Tensor:
        """As transformers' own pipeline: by the problem the model was trained for."""
        problem = self.loaded.config.problem_type
        if problem == "regression":
            return logits
        if problem == "multi_label_classification" or logits.shape[-1] == 1:
            return logits.sigmoid()
        return logits.softmax(dim=-1)
