"""Question answering: the span of the context that answers, with character offsets.

A context that does not fit beside its question is read in overlapping windows, and
their spans compete (`spans.py`). A question is never cut. A tokenizer that pads on the
left (XLNet) has the context before the question, as in transformers' own training script
and pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batching.plan import Piece
from models.encoders.framing import Tokens
from models.encoders.likeness import Scores
from models.encoders.reading import Reading, knows_places, read
from models.errors import CannotLoad, DocumentError, InvalidParameter, NotFinite, TooLong
from models.loading.registry import LoadedModel
from models.records import DocumentInput, DocumentOutput
from models.tasks.documents.document_engine import OpenDocument, PieceData, Prepared
from models.tasks.encoder import EncoderEngine, nothing_to_read, unreadable
from models.tasks.qa.spans import Window, best_spans, num_candidates, ranked_spans
from models.tasks.qa.words import Words

_MAX_OVERLAP_TOKENS = 128  # as in BERT's own SQuAD code
_MIN_ROOM_TOKENS = 8  # beside a question; less context than that answers nothing
_DEFAULT_ANSWER_TOKENS = 30  # as in BERT's own SQuAD code


@dataclass(frozen=True, kw_only=True)
class _Window:
    tokens: Tokens
    begin: int  #: the place in `tokens` of the context's first token here
    first_token: int  #: its number in the context
    num_context: int  #: tokens of the context
    max_answer_tokens: int
    num_spans: int  #: that may be looked at for the answers wanted


class QaEngine(EncoderEngine):
    """Extracts answers."""

    is_pair = True

    def __init__(self, loaded: LoadedModel) -> None:
        if not knows_places(loaded.tokenizer):
            raise CannotLoad(
                f"model {loaded.spec.name!r}: {type(loaded.tokenizer).__name__} does not say which "
                "characters a token stands for, which the place of an answer needs: use a model with a fast "
                "tokenizer (a tokenizer.json beside its weights)"
            )
        self._question_first = loaded.tokenizer.padding_side != "left"
        super().__init__(loaded)
        self._null_place = self._place_of_null(loaded)

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """Cuts every context into windows that fit beside the question."""
        params = [document.params for document in documents]
        questions = read(self.loaded.tokenizer, [one.text for one in documents], params)
        contexts = read(self.loaded.tokenizer, [one.context or "" for one in documents], params)
        return [self._prepare_one(*one) for one in zip(documents, questions, contexts, strict=True)]

    def read(self, pieces: Sequence[Piece], scores: NDArray[np.float32]) -> list[Window | DocumentError]:
        """The scores of each window's context tokens."""
        rows = self._forward.own_places(scores, [piece.data.tokens for piece in pieces])
        return [self._window(piece.data, row) for piece, row in zip(pieces, rows, strict=True)]

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """The best span over all windows, and the next best when asked for."""
        document, params = opened.document, opened.document.params
        context = document.context or ""
        top_k = _top_k(params)
        spans = best_spans(
            opened.results,
            context,
            characters=Words(context, opened.facts).around,
            top_k=top_k,
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

    def probe_row(self, ids: Sequence[int]) -> Tokens:
        """A row whose first tokens are the question's."""
        middle = min(3, (len(ids) + 1) // 2)
        return self._around(ids[:middle], ids[middle:])

    def scores(self, outputs: Any, num_rows: int) -> Tensor:
        """Start and end logits of each token."""
        starts, ends = getattr(outputs, "start_logits", None), getattr(outputs, "end_logits", None)
        if starts is None or ends is None or starts.dim() != 2 or ends.dim() != 2:
            raise CannotLoad("its head does not score where an answer starts and ends in a text")
        return torch.stack([starts, ends], dim=-1)

    def scores_of(self, outputs: Any, rows: Sequence[Tokens]) -> Scores:
        """Start and end logits of each token of each row, shape (tokens, 2)."""
        return self._forward.own_places(self.scores(outputs, len(rows)).float().cpu().numpy(), rows)

    def _prepare_one(
        self, document: DocumentInput, question: Reading, context: Reading
    ) -> Prepared | DocumentError:
        if not (document.context or "").strip():
            return InvalidParameter("qa needs a `context` that is not empty")
        for name, text, reading in (
            ("text", document.text, question),
            ("context", document.context or "", context),
        ):
            if not reading.ids or nothing_to_read(text):
                return unreadable(name)
        room_tokens = self.max_tokens - self.frame.num_tokens - len(question.ids)
        if room_tokens < _MIN_ROOM_TOKENS:
            return TooLong(
                f"the question has {len(question.ids)} tokens; the model reads {self.max_tokens} at once "
                "and needs some for the context"
            )
        return Prepared(
            pieces=self._windows(question.ids, context.ids, room_tokens, document.params),
            input_tokens=len(question.ids) + len(context.ids),
            facts=context.places,
        )

    def _windows(
        self, question: list[int], context: list[int], room_tokens: int, params: Mapping[str, Any]
    ) -> list[PieceData]:
        overlap_tokens = min(_MAX_OVERLAP_TOKENS, room_tokens // 2)
        last = max(len(context) - overlap_tokens, 1)
        pieces = []
        for first in range(0, last, room_tokens - overlap_tokens):
            part = context[first : first + room_tokens]
            tokens = self._around(question, part)
            begin = len(self.frame.before)
            if self._question_first:
                begin += len(question) + len(self.frame.between)
            data = _Window(
                tokens=tokens,
                begin=begin,
                first_token=first,
                num_context=len(part),
                max_answer_tokens=int(params.get("max_answer_length") or _DEFAULT_ANSWER_TOKENS),
                num_spans=num_candidates(_top_k(params)),
            )
            pieces.append(self.piece(data))
        return pieces

    def _around(self, question: Sequence[int], context: Sequence[int]) -> Tokens:
        if self._question_first:
            return self.frame.around(question, context)
        return self.frame.around(context, question)

    def _place_of_null(self, loaded: LoadedModel) -> int:
        """The token whose scores say "no answer": [CLS] or its like, wherever it stands; else the first."""
        number = loaded.tokenizer.cls_token_id
        if number in self.frame.before:
            return self.frame.before.index(number)
        if number in self.frame.behind:
            return self.frame.behind.index(number) - len(self.frame.behind)
        return 0

    def _window(self, data: _Window, scores: Any) -> Window | DocumentError:
        if not np.isfinite(scores).all():
            return NotFinite()
        own = scores[data.begin : data.begin + data.num_context]
        null_start, null_end = scores[self._null_place].tolist()
        return Window(
            start=own[:, 0],
            end=own[:, 1],
            first_token=data.first_token,
            null_start=null_start,
            null_end=null_end,
            spans=ranked_spans(
                own[:, 0],
                own[:, 1],
                first_token=data.first_token,
                max_answer_tokens=data.max_answer_tokens,
                count=data.num_spans,
            ),
        )


def _top_k(params: Mapping[str, Any]) -> int:
    return int(params.get("top_k") or 1)
