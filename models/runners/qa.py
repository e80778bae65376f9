"""Question answering: the span of the context that answers, with character offsets.

A context that does not fit beside its question is read in overlapping windows, and
their spans compete (`spans.py`). A question is never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.errors import DocumentError, InvalidParameter, NotFinite, TooLong
from models.records import DocumentInput, DocumentOutput
from models.registry import LoadedModel
from models.runners.document_engine import OpenDocument, PieceData, Prepared
from models.runners.encoder import EncoderEngine
from models.runners.plan import Piece
from models.runners.spans import Window, best_spans

_MAX_OVERLAP_TOKENS = 128  # as in BERT's own SQuAD code
_MIN_ROOM_TOKENS = 8  # beside a question; less context than that answers nothing
_DEFAULT_ANSWER_TOKENS = 30  # as in BERT's own SQuAD code


class QaEngine(EncoderEngine):
    """Extracts answers."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded)
        self._num_special = loaded.tokenizer.num_special_tokens_to_add(pair=True)

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """Cuts every context into windows that fit beside the question."""
        questions = self.loaded.tokenizer([one.text for one in documents], add_special_tokens=False)
        return [
            self._prepare_one(document, len(ids))
            for document, ids in zip(documents, questions["input_ids"], strict=True)
        ]

    def compute(self, pieces: Sequence[Piece]) -> list[Window | DocumentError]:
        """The scores of each window's context tokens."""
        outputs = self.forward(pieces)
        starts = outputs.start_logits.float().cpu().numpy()
        ends = outputs.end_logits.float().cpu().numpy()
        return [_window(piece, start, end) for piece, start, end in zip(pieces, starts, ends, strict=True)]

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """The best span over all windows, and the next best when asked for."""
        document, params = opened.document, opened.document.params
        context = document.context or ""
        top_k = int(params.get("top_k") or 1)
        spans = best_spans(
            opened.results,
            context,
            top_k=top_k,
            max_answer_tokens=int(params.get("max_answer_length") or _DEFAULT_ANSWER_TOKENS),
            allow_no_answer=bool(params.get("allow_no_answer")),
        )
        answers = [
            {
                "answer": context[span.start : span.end],
                "score": span.probability,
                "start": span.start,
                "end": span.end,
            }
            for span in spans
        ]
        return DocumentOutput(
            key=document.key,
            output={**answers[0], "answers": answers} if top_k > 1 else answers[0],
            input_tokens=opened.input_tokens,
            provenance=self.loaded.provenance,
        )

    def _prepare_one(self, document: DocumentInput, question_tokens: int) -> Prepared | DocumentError:
        if not (document.context or "").strip():
            return InvalidParameter("qa needs a `context` that is not empty")
        room_tokens = self.max_tokens - self._num_special - question_tokens
        if room_tokens < _MIN_ROOM_TOKENS:
            return TooLong(
                f"the question has {question_tokens} tokens; the model reads {self.max_tokens} at once "
                "and needs some for the context"
            )
        encoded = self.loaded.tokenizer(
            document.text,
            document.context,
            truncation="only_second",
            max_length=self.max_tokens,
            stride=min(_MAX_OVERLAP_TOKENS, room_tokens // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        pieces = [_piece(encoded, number) for number in range(len(encoded["input_ids"]))]
        context_tokens = {offset for piece in pieces for offset in piece.data["offsets"]}
        return Prepared(pieces=pieces, input_tokens=question_tokens + len(context_tokens))


def _piece(encoded: Any, number: int) -> PieceData:
    ids = encoded["input_ids"][number]
    places = [place for place, part in enumerate(encoded.sequence_ids(number)) if part == 1]
    data = {
        name: encoded[name][number]
        for name in ("input_ids", "attention_mask", "token_type_ids")
        if name in encoded
    }
    offsets = encoded["offset_mapping"][number]
    return PieceData(
        num_tokens=len(ids),
        data={**data, "places": places, "offsets": [tuple(offsets[place]) for place in places]},
    )


def _window(piece: Piece, start: Any, end: Any) -> Window | DocumentError:
    places = piece.data["places"]
    # "No answer" is the first token, [CLS] or its like, in every extractive model of the library.
    window = Window(
        start=start[places],
        end=end[places],
        offsets=piece.data["offsets"],
        null_start=float(start[0]),
        null_end=float(end[0]),
    )
    length = len(piece.data["input_ids"])
    if not (np.isfinite(start[:length]).all() and np.isfinite(end[:length]).all()):
        return NotFinite()
    return window
