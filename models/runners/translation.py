"""Translation with encoder-decoder models: Marian, T5, mBART, M2M100, NLLB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.engine.prompt import PromptMaker
from models.errors import DocumentError, InvalidParameter
from models.records import DocumentInput, DocumentOutput
from models.registry import LoadedModel
from models.runners.ctranslate import ctranslate_core, ctranslate_decoder
from models.runners.decoding_core import decoding_core
from models.runners.document_engine import DocumentEngine, OpenDocument, PieceData, Prepared
from models.runners.languages import LanguageChoice, Languages
from models.runners.sentences import Sentence, cut
from models.runners.texts import max_positions, text_of

#: A translation may be this many times as long as its source, and a little more
#: (Marian's own limit is 3 times; see `max-length-factor` in its documentation).
_LENGTH_FACTOR = 3
_LENGTH_EXTRA_TOKENS = 16


class TranslationEngine(DocumentEngine):
    """Translates; long documents go sentence by sentence, never cut off.

    A config may say `max_joined_tokens`, for a model that was trained on single sentences: short
    ones are then put together up to so many tokens only.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        decoder = ctranslate_decoder(loaded)
        if decoder is None:
            super().__init__(loaded, decoding_core(loaded))
        else:
            super().__init__(loaded, ctranslate_core(loaded.spec, decoder))
        self._provenance = {**loaded.provenance, **(decoder.provenance if decoder else {})}
        self._prompts = PromptMaker(loaded)
        self._languages = Languages(loaded)
        self._max_positions = max_positions(loaded)
        own = getattr(loaded.config, "max_joined_tokens", None)
        self._max_joined_tokens = self._max_positions if own is None else int(own)

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """Each text whole when it fits the model, else in runs of sentences."""
        prepared: list[Prepared | DocumentError] = []
        for document in documents:
            try:
                prepared.append(self._prepare_one(document))
            except DocumentError as error:
                prepared.append(error)
        return prepared

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """The translations of the pieces, with the white space that stood between them."""
        decoded = iter(opened.results)
        texts = [
            text_of(self.loaded, next(decoded).sequences[0]).strip() + part.gap if part.text else part.gap
            for part in opened.facts["parts"]
        ]
        return DocumentOutput(
            key=opened.document.key,
            output={"text": "".join(texts).strip()},
            input_tokens=opened.input_tokens,
            output_tokens=sum(len(result.sequences[0]) for result in opened.results),
            provenance={**self._provenance, **opened.facts["provenance"]},
        )

    def describe(self) -> dict[str, Any]:
        """Facts, counters, and the languages the model takes."""
        return {
            **super().describe(),
            "max_tokens": self._max_positions,
            "languages": self._languages.names,
        }

    def _prepare_one(self, document: DocumentInput) -> Prepared:
        if document.params.get("num_return_sequences", 1) > 1:
            raise InvalidParameter("translation returns one text: leave num_return_sequences out")
        choice = self._languages.choose(document.params)

        def num_tokens(text: str) -> int:
            return len(self._encode(text, choice))

        parts = cut(
            document.text,
            fits=lambda text: num_tokens(text) <= self._max_positions,
            joins=lambda text: num_tokens(text) <= self._max_joined_tokens,
        )
        encoded = [self._encode(part.text, choice) for part in parts if part.text]
        pieces = [self._piece(ids, document, choice) for ids in encoded]
        return Prepared(
            pieces=pieces,
            input_tokens=sum(len(ids) for ids in encoded),
            facts={
                "parts": tuple(parts) or (Sentence("", ""),),
                "provenance": pieces[0].data.provenance if pieces else {},
            },
        )

    def _encode(self, text: str, choice: LanguageChoice) -> list[int]:
        return self._languages.encode(text, choice)

    def _piece(self, ids: list[int], document: DocumentInput, choice: LanguageChoice) -> PieceData:
        params = document.params
        asked = params.get("max_new_tokens", params.get("max_length"))
        # Our own limit only bounds a runaway; rounded up, so that pieces can share a batch.
        own = -(-(_LENGTH_FACTOR * len(ids) + _LENGTH_EXTRA_TOKENS) // 64) * 64
        limit = min(self._max_positions - 1, own if asked is None else int(asked))
        prompt = self._prompts.make(
            ids, params, max_new_tokens=limit, forced_bos_token_id=choice.forced_bos_token_id
        )
        return PieceData(
            num_tokens=len(ids) + min(limit, 2 * len(ids)),
            data=prompt,
            num_rows=prompt.num_rows,
        )
