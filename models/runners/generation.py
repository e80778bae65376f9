"""Generation: the continuation of a prompt, by a causal or an encoder-decoder model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.engine.prompt import Prompt, PromptMaker
from models.errors import DocumentError, InvalidParameter, TooLong
from models.records import DocumentInput, DocumentOutput
from models.registry import Family, LoadedModel
from models.runners.decoding_core import decoding_core
from models.runners.document_engine import DocumentEngine, OpenDocument, PieceData, Prepared
from models.runners.texts import max_positions, text_of

#: Used when neither the client nor the model's generation config sets a limit.
DEFAULT_NEW_TOKENS = 128


class GenerationEngine(DocumentEngine):
    """Continues prompts."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded, decoding_core(loaded))
        self._prompts = PromptMaker(loaded)
        self._max_positions = max_positions(loaded)
        self._has_encoder = loaded.family is Family.SEQ2SEQ

    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """The prompt's tokens and how many may follow, for each document."""
        encoded = self.loaded.tokenizer([document.text for document in documents], verbose=False)
        prepared: list[Prepared | DocumentError] = []
        for document, ids in zip(documents, encoded["input_ids"], strict=True):
            try:
                prepared.append(self._prepare_one(document, ids))
            except DocumentError as error:
                prepared.append(error)
        return prepared

    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """The text after the prompt, cut at a stop string."""
        prompt, decoded = opened.facts, opened.results[0]
        finished = [
            self._finish(prompt, ids, is_stopped=is_stopped)
            for ids, is_stopped in zip(decoded.sequences, decoded.is_stopped, strict=True)
        ]
        text, reason = finished[0]
        more = {"texts": [t for t, _ in finished]} if len(finished) > 1 else {}
        return DocumentOutput(
            key=opened.document.key,
            output={"text": text, "finish_reason": reason, **more},
            input_tokens=opened.input_tokens,
            output_tokens=sum(len(ids) for ids in decoded.sequences),
            provenance={**self.loaded.provenance, **prompt.provenance},
        )

    def describe(self) -> dict[str, Any]:
        """Facts and counters."""
        return {
            **super().describe(),
            **self._prompts.facts,
            "max_tokens": self._max_positions,
            "new_tokens_by_default": self._prompts.default_new_tokens(DEFAULT_NEW_TOKENS),
        }

    def _prepare_one(self, document: DocumentInput, ids: list[int]) -> Prepared:
        if not ids:
            raise InvalidParameter("the prompt has no tokens for this model")
        room = self._max_positions - (1 if self._has_encoder else len(ids))
        if room < 1 or len(ids) > self._max_positions:
            raise TooLong(f"the prompt has {len(ids)} tokens; the model takes {self._max_positions}")
        wanted = self._wanted_tokens(document.params, len(ids))
        prompt = self._prompts.make(ids, document.params, max_new_tokens=min(wanted, room))
        piece = PieceData(
            num_tokens=len(ids) + prompt.max_new_tokens,
            data=prompt,
            num_rows=prompt.num_rows,
        )
        return Prepared(pieces=[piece], input_tokens=len(ids), facts=prompt)

    def _wanted_tokens(self, params: Mapping[str, Any], prompt_tokens: int) -> int:
        config = self.loaded.model.generation_config
        if "max_new_tokens" in params:
            return int(params["max_new_tokens"])
        if "max_length" not in params:
            return int(config.max_new_tokens or DEFAULT_NEW_TOKENS)
        # Of prompt and continuation together, as in transformers.
        wanted = int(params["max_length"]) - (0 if self._has_encoder else prompt_tokens)
        if wanted < 1:
            raise TooLong(f"the prompt has {prompt_tokens} tokens: nothing is left of max_length")
        return wanted

    def _finish(self, prompt: Prompt, ids: list[int], *, is_stopped: bool) -> tuple[str, str]:
        text = text_of(self.loaded, ids)
        if not self._has_encoder:
            # Decoded together and cut: some tokenizers join words differently at the seam.
            before = text_of(self.loaded, prompt.input_ids)
            whole = text_of(self.loaded, prompt.input_ids + ids)
            text = whole[len(before) :] if whole.startswith(before) else text
        found = [place for stop in prompt.stop if (place := text.find(stop)) >= 0]
        if found:
            return text[: min(found)], "stop"
        return text, "stop" if is_stopped else "length"
