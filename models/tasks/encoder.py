"""What sentiment and question answering share: windows of tokens, computed by the way that is proven."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unicodedata import category

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batching.batch_core import BatchCore
from models.batching.begun import Begun, gpu_bounds, usual_bounds
from models.batching.plan import Piece
from models.encoders.company import Company, keeps_bytes
from models.encoders.forward import EncoderForward
from models.encoders.framing import Frame, Tokens, learn_frame
from models.encoders.likeness import Scores
from models.encoders.literal import make_literal
from models.encoders.masks import takes_masks
from models.encoders.proof import Proof, prove
from models.encoders.transfer import Fetched, Stopwatch
from models.encoders.trial import Subject, same_without_asking
from models.encoders.vocabulary import ordinary_ids
from models.encoders.window_limit import Lookups, max_window_tokens, noted_lookups
from models.errors import CannotLoad, InvalidParameter
from models.loading.registry import LoadedModel
from models.proving.verdicts import remembered
from models.tasks.documents.document_engine import DocumentEngine, PieceData

#: Read beside text, and not in a document: the model's answers without them would mean nothing.
_BESIDE_TEXT = frozenset({"bbox", "xpath_tags_seq", "visual_feats", "visual_pos", "input_shape_ids"})
#: Control and format characters, spaces; what has no category yet may be an emoji of next year.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
_NO_LIMIT = 10**30  # transformers' own word for it
_FIRST_TOKENS = 8  #: of the first row that a model computes


@dataclass(frozen=True)
class _Begun:
    """A batch of windows on its way."""

    fetched: Fetched
    read: Callable[[NDArray[np.float32]], list[Any]]

    @property
    def is_done(self) -> bool:
        return self.fetched.is_done

    @property
    def seconds(self) -> float:
        return self.fetched.seconds

    def results(self) -> list[Any]:
        return self.read(self.fetched.array())


class EncoderEngine(DocumentEngine):
    """Computes windows whose `data` has `tokens`; a task says what is read and what comes of it."""

    is_pair = False  #: whether a row is made of two texts

    def __init__(self, loaded: LoadedModel) -> None:
        _refuse_what_is_no_text(loaded)
        if not loaded.tokenizer.model_max_length:
            loaded.tokenizer.model_max_length = _NO_LIMIT  # tokenizers compare with it and do not expect None
        make_literal(loaded.tokenizer)
        self.frame = self._frame(loaded)
        self._forward = EncoderForward(loaded)
        verdict = remembered(loaded, "encoding", lambda: self._find_out(loaded))
        self.max_tokens = int(verdict["max_tokens"])
        self.proof = Proof.of_verdict(verdict["proof"])
        self._keeps_bytes = bool(verdict["keeps_bytes"])
        self._forward.padding, self._forward.draws = self.proof.padding, self.proof.draws
        self._forward.is_unasked = bool(verdict["is_unasked"])
        self._company = _company(loaded, self.proof, self.max_tokens)
        bounds = (usual_bounds if loaded.device.is_cpu else gpu_bounds)(loaded.spec)
        core = BatchCore(loaded.spec, self.begin, batch_key=self._company.key, bounds=bounds)
        super().__init__(loaded, core)

    @abstractmethod
    def scores(self, outputs: Any, num_rows: int) -> Tensor:
        """Of a pass over so many rows: shape (rows, labels), or (rows, tokens, kinds of score).

        Raises:
            CannotLoad: the head is not one of this task.
        """

    @abstractmethod
    def read(self, pieces: Sequence[Piece], scores: NDArray[np.float32]) -> list[Any]:
        """What the scores say of each window, or a `DocumentError` in its place; on the host."""

    @abstractmethod
    def scores_of(self, outputs: Any, rows: Sequence[Tokens]) -> Scores:
        """What the model says of each row, without padding.

        Raises:
            CannotLoad: the head is not one of this task.
        """

    @abstractmethod
    def probe_row(self, ids: Sequence[int]) -> Tokens:
        """A row of these tokens beside special ones, as of a document."""

    def piece(self, data: Any) -> PieceData:
        """The piece of a window."""
        length = self._company.length(data.tokens)
        return PieceData(num_tokens=length, num_padding=length - len(data.tokens.ids), data=data)

    def begin(self, pieces: Sequence[Piece]) -> Begun:
        """Begins one batch."""
        watch = Stopwatch(self.loaded.device.torch)
        scores = self.scores(self.forward(pieces), len(pieces))
        return _Begun(Fetched(watch, scores), partial(self.read, pieces))

    def forward(self, pieces: Sequence[Piece]) -> Any:
        """The model's outputs for windows."""
        length = max(piece.num_tokens for piece in pieces)
        return self._forward([piece.data.tokens for piece in pieces], length)

    def describe(self) -> dict[str, Any]:
        """Facts and counters."""
        facts: dict[str, Any] = {"max_tokens": self.max_tokens, "way": str(self.proof.way), "proven": True}
        facts["keeps_bytes"] = self._keeps_bytes
        if self.proof.proven_tokens is not None:
            facts["proven_tokens"] = self.proof.proven_tokens
        if self.proof.why:
            facts["why"] = self.proof.why
        return {**super().describe(), **facts}

    def close(self) -> None:
        """Frees the model's memory."""
        super().close()
        del self._forward

    # At loading.

    def _frame(self, loaded: LoadedModel) -> Frame:
        return learn_frame(loaded.tokenizer, is_pair=self.is_pair)

    def _find_out(self, loaded: LoadedModel) -> dict[str, Any]:
        with torch.inference_mode():
            lookups = self._first_pass(loaded)
            max_tokens = max_window_tokens(loaded, lookups.room)
            if max_tokens <= self.frame.num_tokens:
                raise CannotLoad(
                    f"model {loaded.spec.name!r} reads {max_tokens} tokens at once, and its tokenizer adds "
                    f"{self.frame.num_tokens}: raise model_max_length in tokenizer_config.json"
                )
            subject = Subject(
                loaded=loaded,
                forward=self._forward,
                row_of=self.probe_row,
                scores_of=self.scores_of,
                max_tokens=max_tokens,
                computed_tokens=lookups.num_computed,
            )
            proof = prove(subject)
            self._forward.padding, self._forward.draws = proof.padding, proof.draws
            is_kept = keeps_bytes(_company(loaded, proof, max_tokens), subject)
            return {
                "max_tokens": max_tokens,
                "proof": proof.as_verdict(),
                "keeps_bytes": is_kept,
                "is_unasked": self._may_be_unasked(subject),
            }

    def _may_be_unasked(self, subject: Subject) -> bool:
        """Whether a GPU need not be asked for padding; a processor is asked, which costs it nothing."""
        loaded = subject.loaded
        return not loaded.device.is_cpu and takes_masks(loaded.model) and same_without_asking(subject)

    def _first_pass(self, loaded: LoadedModel) -> Lookups:
        """What the model looks up in its tables in its first pass; what it cannot do is said here."""
        ids = ordinary_ids(loaded)
        row = self.probe_row([ids[7 * number % len(ids)] for number in range(_FIRST_TOKENS)])
        try:
            return noted_lookups(lambda: self.scores_of(self._forward([row]), [row]), len(row.ids))
        except CannotLoad as error:
            raise CannotLoad(f"model {loaded.spec.name!r}: {error}") from error
        except Exception as error:
            raise CannotLoad(
                f"model {loaded.spec.name!r} ({type(loaded.model).__name__}) cannot compute what its "
                f"tokenizer ({type(loaded.tokenizer).__name__}) makes of a text: "
                f"{type(error).__name__}: {error}"
            ) from error


def _company(loaded: LoadedModel, proof: Proof, max_tokens: int) -> Company:
    is_stepped = loaded.device.is_cpu and loaded.dtype == "float32"
    return Company(proof=proof, max_tokens=max_tokens, is_stepped=is_stepped)


def nothing_to_read(text: str) -> bool:
    """Whether a text has no character that shows: only white space, control or invisible ones."""
    return all(category(one) in _UNSEEN for one in text)


def unreadable(name: str) -> InvalidParameter:
    """The refusal of a text that has nothing to read, or of which the tokenizer keeps nothing."""
    return InvalidParameter(
        f"`{name}` has nothing that the model reads: only white space, control or invisible characters, "
        "or ones that its tokenizer drops"
    )


def _refuse_what_is_no_text(loaded: LoadedModel) -> None:
    wanted = _BESIDE_TEXT & {
        *inspect.signature(loaded.model.forward).parameters,
        *loaded.tokenizer.model_input_names,
    }
    if wanted:
        raise CannotLoad(
            f"model {loaded.spec.name!r} ({type(loaded.model).__name__}) reads {', '.join(sorted(wanted))} "
            "beside text, which documents do not have: use a model that reads text alone"
        )
