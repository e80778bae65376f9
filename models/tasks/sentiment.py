"""Sentiment: a label and its score for each text.

A text that is longer than the model reads at once is cut into overlapping windows; its
scores are the mean of the windows' scores, weighted by the tokens each window adds, so
that every token of the text counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batching.plan import Piece
from models.encoders.framing import Tokens
from models.encoders.likeness import Scores
from models.encoders.reading import read_ids
from models.errors import CannotLoad, DocumentError, NotFinite
from models.loading.registry import LoadedModel
from models.records import DocumentInput, DocumentOutput
from models.tasks.documents.document_engine import OpenDocument, PieceData, Prepared
from models.tasks.encoder import EncoderEngine, nothing_to_read, unreadable
from models.tasks.labels import label_names, probabilities

_MAX_OVERLAP_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class _Window:
    tokens: Tokens


class SentimentEngine(EncoderEngine):
    """Classifies texts; labels are the model's own."""

    def __init__(self, loaded: LoadedModel) -> None:
        # transformers fills them in, with LABEL_0, ... if need be.
        self._labels = label_names(loaded.config.id2label)
        super().__init__(loaded)
        self._room_tokens = self.max_tokens - self.frame.num_tokens
        self._overlap_tokens = min(_MAX_OVERLAP_TOKENS, self._room_tokens // 4)

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """Cuts every text into its windows."""
        texts = [document.text for document in documents]
        read = read_ids(self.loaded.tokenizer, texts, [document.params for document in documents])
        return [
            self._prepared(ids) if ids and not nothing_to_read(text) else unreadable("text")
            for text, ids in zip(texts, read, strict=True)
        ]

    def read(self, pieces: Sequence[Piece], scores: NDArray[np.float32]) -> list[list[float] | DocumentError]:
        """The probabilities of each window's labels."""
        logits = torch.from_numpy(scores)
        found = probabilities(logits, self.loaded.config.problem_type).tolist()
        is_finite = torch.isfinite(logits).all(dim=-1).tolist()
        return [row if fine else NotFinite() for row, fine in zip(found, is_finite, strict=True)]

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """The weighted mean over the windows, best label first."""
        scores = opened.results[0]
        if len(opened.results) > 1:
            scores = np.average(opened.results, axis=0, weights=opened.facts).tolist()
        ranked = sorted(zip(scores, self._labels, strict=True), key=lambda pair: -pair[0])
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

    def probe_row(self, ids: Sequence[int]) -> Tokens:
        """A row of these tokens, as of a document."""
        return self.frame.around(ids)

    def scores(self, outputs: Any, num_rows: int) -> Tensor:
        """The logits."""
        logits = getattr(outputs, "logits", None)
        if logits is None or logits.shape != (num_rows, len(self._labels)):
            found = "no logits" if logits is None else f"logits of shape {tuple(logits.shape)}"
            raise CannotLoad(
                f"its head gives {found} for {num_rows} texts, and id2label in config.json has "
                f"{len(self._labels)} labels: a model that classifies whole texts has one logit a label"
            )
        return cast("Tensor", logits)

    def scores_of(self, outputs: Any, rows: Sequence[Tokens]) -> Scores:
        """The logits of each row."""
        return list(self.scores(outputs, len(rows)).float().cpu().numpy())

    def _prepared(self, ids: Sequence[int]) -> Prepared:
        if len(ids) <= self._room_tokens:  # as most are
            return Prepared(pieces=[self._window(ids)], input_tokens=len(ids))
        parts = _parts(ids, self._room_tokens, self._overlap_tokens)
        return Prepared(
            pieces=[self._window(part) for part in parts],
            input_tokens=len(ids),
            facts=[len(parts[0]), *(len(part) - self._overlap_tokens for part in parts[1:])],
        )

    def _window(self, ids: Sequence[int]) -> PieceData:
        return self.piece(_Window(tokens=self.frame.around(ids)))


def _parts(ids: Sequence[int], room_tokens: int, overlap_tokens: int) -> list[Sequence[int]]:
    """Overlapping parts, none longer than there is room for; all of them but the last are full."""
    step = room_tokens - overlap_tokens
    return [ids[begin : begin + room_tokens] for begin in range(0, len(ids) - overlap_tokens, step)]
