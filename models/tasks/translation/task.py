"""Translation with encoder-decoder models: Marian, T5, mBART, M2M100, NLLB."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from models.batching.core import Core
from models.batching.ctranslate import ctranslate_core, ctranslate_decoder
from models.decoding.parameters.prompt import Prompt, PromptMaker
from models.errors import DocumentError, InvalidParameter
from models.loading.registry import LoadedModel
from models.records import DocumentInput, DocumentOutput
from models.tasks.decoding_core import decoding_core
from models.tasks.documents.document_engine import DocumentEngine, OpenDocument, PieceData, Prepared
from models.tasks.lengths import Lengths
from models.tasks.texts import TextEncoder, cut_at, text_of
from models.tasks.translation.languages import LanguageChoice, languages_of
from models.tasks.translation.layout import segments
from models.tasks.translation.sources import Part, Source, SourceTokens

#: A translation may be this many times as long as its source, and a little more
#: (Marian's own limit is 3 times; see `max-length-factor` in its documentation).
_LENGTH_FACTOR = 3
_LENGTH_EXTRA_TOKENS = 16


class TranslationEngine(DocumentEngine):
    """Translates sentence by sentence, as such models were trained, and keeps the layout.

    A config may say `max_joined_tokens`, for a model that was trained on longer texts: sentences
    of one line are then put together up to so many tokens.
    """

    def __init__(self, loaded: LoadedModel, core: Core | None = None) -> None:
        """Sets up.

        Args:
            loaded: the model.
            core: decodes sentences; by default what suits the model.
        """
        decoder = None if core else ctranslate_decoder(loaded)
        if decoder is not None:
            core = ctranslate_core(loaded.spec, decoder)
        super().__init__(loaded, core or decoding_core(loaded))
        self._provenance = {**loaded.provenance, **(decoder.provenance if decoder else {})}
        self._prompts = PromptMaker(loaded)
        self._languages = languages_of(loaded)
        self._lengths = Lengths(loaded)
        self._texts = TextEncoder(loaded.tokenizer)
        self._knows = lru_cache(1024)(self._texts.knows)
        self._sources = SourceTokens(
            self._texts,
            self._languages,
            max_tokens=self._lengths.max_tokens,
            max_joined_tokens=int(getattr(loaded.config, "max_joined_tokens", None) or 0),
        )

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """Each text in sentences; what is no sentence is kept as it is."""
        sources: list[Source | DocumentError] = []
        for document in documents:
            try:
                sources.append(self._source(document))
            except DocumentError as error:
                sources.append(error)
        good = [source for source in sources if isinstance(source, Source)]
        parts = iter(self._sources.parts(good))
        prepared: list[Prepared | DocumentError] = []
        for document, source in zip(documents, sources, strict=True):
            try:
                prepared.append(
                    source
                    if isinstance(source, DocumentError)
                    else self._prepare_one(document, source.choice, next(parts))
                )
            except DocumentError as error:
                prepared.append(error)
        return prepared

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """The translations in the places of their sources; nothing follows a stop string."""
        texts, is_truncated, results = [], False, iter(opened.results)
        for kept, prompt in opened.facts["parts"]:
            if prompt is None:
                texts.append(kept)
                continue
            decoded = next(results)
            ids = decoded.sequences[0]
            text = text_of(self.loaded, ids).strip()
            cut = cut_at(prompt.stop, text)
            if cut is not None:
                texts.append(cut)
                break
            is_truncated |= not self._lengths.is_ended(
                ids, prompt.max_new_tokens, is_stopped=decoded.is_stopped[0]
            )
            texts.append(text)
        return DocumentOutput(
            key=opened.document.key,
            output={"text": "".join(texts), "finish_reason": "length" if is_truncated else "stop"},
            input_tokens=opened.input_tokens,
            output_tokens=sum(len(result.sequences[0]) for result in opened.results),
            truncated=is_truncated,
            provenance={**self._provenance, **opened.facts["provenance"]},
        )

    def describe(self) -> dict[str, Any]:
        """Facts, counters, and the languages the model takes."""
        return {
            **super().describe(),
            **self._prompts.facts,
            "max_tokens": self._lengths.max_tokens,
            "has_chat_template": False,
            **self._languages.facts,
        }

    def _source(self, document: DocumentInput) -> Source:
        params = document.params
        if params.get("num_return_sequences", 1) > 1:
            raise InvalidParameter("translation returns one text: leave num_return_sequences out")
        choice, text = self._languages.choose(params, document.text)
        return Source(
            segments=segments(text, choice.language, knows=self._knows),
            choice=choice,
            parse=bool(params.get("parse_special_tokens")),
        )

    def _prepare_one(self, document: DocumentInput, choice: LanguageChoice, parts: list[Part]) -> Prepared:
        params = document.params
        pieces: list[PieceData] = []
        placed: list[tuple[str, Prompt | None]] = []
        for part in parts:
            if part.ids is None:
                placed.append((part.text, None))
                continue
            prompt = self._prompts.make(
                part.ids,
                params,
                max_new_tokens=self._limit(part.ids, document),
                forced_bos_token_id=choice.forced_bos_token_id,
            )
            if prompt.seed is not None:  # all sentences of a document are drawn by one seed
                params = {**params, "seed": prompt.seed}
            placed.append(("", prompt))
            pieces.append(_piece(prompt))
        return Prepared(
            pieces=pieces,
            input_tokens=sum(len(piece.data.input_ids) for piece in pieces),
            facts={"parts": placed, "provenance": pieces[0].data.provenance if pieces else {}},
        )

    def _limit(self, ids: list[int], document: DocumentInput) -> int:
        # Our own only bounds a runaway; rounded up, so that pieces can share a batch.
        own = -(-(_LENGTH_FACTOR * len(ids) + _LENGTH_EXTRA_TOKENS) // 64) * 64
        return self._lengths.new_tokens(document.params, len(ids), otherwise=own)


def _piece(prompt: Prompt) -> PieceData:
    num_tokens = len(prompt.input_ids)
    return PieceData(
        num_tokens=num_tokens + min(prompt.max_new_tokens, 2 * num_tokens),
        data=prompt,
        num_rows=prompt.num_rows,
    )
