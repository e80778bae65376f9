"""Generation: the continuation of a prompt, by a causal or an encoder-decoder model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from models.batching.core import Core
from models.decoding.parameters.prompt import Prompt, PromptMaker
from models.errors import DocumentError, InvalidParameter
from models.loading.registry import Family, LoadedModel
from models.records import DocumentInput, DocumentOutput
from models.tasks.chats import ChatEncoder
from models.tasks.decoding_core import decoding_core
from models.tasks.documents.document_engine import DocumentEngine, OpenDocument, PieceData, Prepared
from models.tasks.growing_text import GrowingText, comes_in_pieces
from models.tasks.lengths import Lengths
from models.tasks.listeners import Listeners
from models.tasks.texts import TextEncoder, cut_at, text_of

#: Used when neither the client nor the model's generation config sets a limit.
DEFAULT_NEW_TOKENS = 128
#: So many tokens before the seam are decoded together with what follows it.
_SEAM_TOKENS = 16


class GenerationEngine(DocumentEngine):
    """Continues prompts."""

    def __init__(self, loaded: LoadedModel, core: Core | None = None) -> None:
        """Sets up.

        Args:
            loaded: the model.
            core: decodes prompts; by default what suits the model.
        """
        super().__init__(loaded, core or decoding_core(loaded))
        self._prompts = PromptMaker(loaded)
        self._lengths = Lengths(loaded)
        self._texts = TextEncoder(loaded.tokenizer)
        self._chats = ChatEncoder(loaded.tokenizer)
        self._has_encoder = loaded.family is Family.SEQ2SEQ
        self._listeners = Listeners()
        self._may_tell = comes_in_pieces(loaded.tokenizer)

    def step(self) -> list[DocumentOutput]:
        """One step, and what it adds to the texts that somebody listens to."""
        outputs = super().step()
        self._listeners.leave([output.key for output in outputs])
        self._listeners.tell(self._core.so_far)
        return outputs

    def cancel(self, keys: Collection[Hashable]) -> None:
        """Drops documents."""
        super().cancel(keys)
        self._listeners.leave(keys)

    def close(self) -> None:
        """Frees the model's memory."""
        self._listeners.clear()
        super().close()

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """The prompt's tokens and how many may follow, for each document."""
        prepared: list[Prepared | DocumentError] = []
        for document, ids in zip(documents, self._encode(documents), strict=True):
            try:
                prepared.append(ids if isinstance(ids, DocumentError) else self._prepare_one(document, ids))
            except DocumentError as error:
                prepared.append(error)
        return prepared

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """The text after the prompt, cut at a stop string."""
        prompt, decoded = opened.facts, opened.results[0]
        tail = [] if self._has_encoder else prompt.input_ids[-_SEAM_TOKENS:]
        before = text_of(self.loaded, tail) if tail else ""
        finished = [
            self._finish(prompt, ids, tail, before, is_stopped=is_stopped)
            for ids, is_stopped in zip(decoded.sequences, decoded.is_stopped, strict=True)
        ]
        text, reason = finished[0]
        more: dict[str, list[str]] = {}
        if len(finished) > 1:
            more = {"texts": [t for t, _ in finished], "finish_reasons": [r for _, r in finished]}
        return DocumentOutput(
            key=opened.document.key,
            output={"text": text, "finish_reason": reason, **more},
            input_tokens=opened.input_tokens,
            output_tokens=sum(len(ids) for ids in decoded.sequences),
            truncated=any(reason == "length" for _, reason in finished),
            provenance={**self.loaded.provenance, **prompt.provenance, **decoded.provenance},
        )

    def describe(self) -> dict[str, Any]:
        """Facts and counters."""
        return {
            **super().describe(),
            "max_tokens": self._lengths.max_tokens,
            "new_tokens_by_default": self._lengths.by_default(DEFAULT_NEW_TOKENS),
            **self._prompts.facts,
            **self._prompts.grammars.facts,
            "has_chat_template": self._chats.has_template,
        }

    def _encode(self, documents: Sequence[DocumentInput]) -> list[list[int] | DocumentError]:
        """Token ids of each prompt; texts that are encoded alike are encoded together."""
        encoded: list[list[int] | DocumentError] = [[] for _ in documents]
        alike: defaultdict[tuple[bool, bool], list[int]] = defaultdict(list)
        for place, document in enumerate(documents):
            parse = bool(document.params.get("parse_special_tokens"))
            if document.messages is None:
                alike[parse, _adds_special_tokens(document.params)].append(place)
                continue
            try:
                encoded[place] = self._chat(document, parse)
            except DocumentError as error:
                encoded[place] = error
        for (parse, adds), places in alike.items():
            texts = [documents[place].text for place in places]
            found = self._texts.encode(texts, parse=parse, add_special_tokens=adds)
            for place, ids in zip(places, found, strict=True):
                encoded[place] = ids
        return encoded

    def _chat(self, document: DocumentInput, parse: bool) -> list[int]:
        if document.params.get("add_special_tokens"):
            raise InvalidParameter("add_special_tokens is for `text`: a chat's template writes its own")
        return self._chats.encode(document.messages or (), parse=parse)

    def _prepare_one(self, document: DocumentInput, ids: list[int]) -> Prepared:
        if not ids:
            raise InvalidParameter("the prompt has no tokens for this model")
        limit = self._lengths.new_tokens(document.params, len(ids), otherwise=DEFAULT_NEW_TOKENS)
        prompt = self._prompts.make(ids, document.params, max_new_tokens=limit, own_seed=document.own_seed)
        if document.on_text is not None and self._may_tell and prompt.num_rows == 1:
            prompt = replace(prompt, is_read_early=True)
            self._listeners.enter(document.key, self._growing(prompt), document.on_text)
        piece = PieceData(num_tokens=len(ids) + limit, data=prompt, num_rows=prompt.num_rows)
        return Prepared(pieces=[piece], input_tokens=len(ids), facts=prompt)

    def _growing(self, prompt: Prompt) -> GrowingText:
        """The continuation while its tokens come."""
        if prompt.grammar is not None:  # read byte by byte: no run of them has to wait for its end
            return GrowingText(self._prompts.grammars.text_of, str, [])
        names = self.loaded.tokenizer.convert_ids_to_tokens
        tail = [] if self._has_encoder else prompt.input_ids[-_SEAM_TOKENS:]
        return GrowingText(partial(text_of, self.loaded), names, tail, prompt.stop)

    def _finish(
        self, prompt: Prompt, ids: list[int], tail: list[int], before: str, *, is_stopped: bool
    ) -> tuple[str, str]:
        """The continuation as text, and why it ends."""
        if prompt.grammar is not None:
            text = self._prompts.grammars.text_of(ids)
            return text, "stop" if is_stopped else "length"
        text = self._continuation(prompt, ids, tail, before)
        cut = cut_at(prompt.stop, text)
        if cut is not None:
            return cut, "stop"
        is_ended = self._lengths.is_ended(ids, prompt.max_new_tokens, is_stopped=is_stopped)
        return text, "stop" if is_ended else "length"

    def _continuation(self, prompt: Prompt, ids: list[int], tail: list[int], before: str) -> str:
        """Decoded together with what is before it and cut: some tokenizers join words at the seam."""
        if not tail:
            return text_of(self.loaded, ids)
        whole = text_of(self.loaded, tail + ids)
        if whole.startswith(before):
            return whole[len(before) :]
        if len(tail) < len(prompt.input_ids):
            before = text_of(self.loaded, prompt.input_ids)
            return self._continuation(prompt, ids, prompt.input_ids, before)
        return text_of(self.loaded, ids)


def _adds_special_tokens(params: Mapping[str, Any]) -> bool:
    return bool(params.get("add_special_tokens", True))
