"""What is decoded and what comes out, as generation and translation see it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import GenerationConfig

from models.decoding.grammars.grammar import Grammar, Grammars
from models.decoding.parameters.asked import refuse_beside_a_grammar, refuse_ignored
from models.errors import InvalidParameter
from models.loading.registry import LoadedModel

#: Under a grammar, none of a model's own settings may make a text longer, end it, or forbid what it needs.
_UNDER_A_GRAMMAR: dict[str, Any] = {
    "num_beams": 1, "min_length": 0, "min_new_tokens": None, "no_repeat_ngram_size": 0,
    "forced_eos_token_id": None,
}  # fmt: skip
#: transformers' own names; everything else of a document's parameters is ours.
_PASSED_ON = (
    "min_new_tokens", "do_sample", "temperature", "top_k", "top_p", "num_beams", "length_penalty",
    "early_stopping", "repetition_penalty", "no_repeat_ngram_size", "num_return_sequences",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One text to continue or translate."""

    input_ids: list[int]
    max_new_tokens: int
    params: Mapping[str, Any]
    num_rows: int = 1  #: sequences decoded side by side: beams, or returned ones
    grammar: Grammar | None = None  #: that the new text has to keep to
    stop: tuple[str, ...] = ()  #: strings that end it; none: not even those of the model's defaults
    seed: int | None = None  #: set exactly when it samples
    forced_bos_token_id: int | None = None
    is_read_early: bool = False  #: its tokens are wanted while it is decoded

    @property
    def provenance(self) -> dict[str, int]:
        """What a result must add to the model's own provenance to be computed again."""
        return {} if self.seed is None else {"seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """The new tokens of a prompt, one list per returned sequence, without padding."""

    sequences: list[list[int]] = field(default_factory=list)
    is_stopped: list[bool] = field(default_factory=list)  #: by an end token, not by the limit
    #: what a result must add to the prompt's provenance to be computed again
    provenance: Mapping[str, str] = field(default_factory=dict)


class PromptMaker:
    """Makes prompts of one model from parameters that were validated before."""

    def __init__(self, loaded: LoadedModel) -> None:
        config: GenerationConfig = loaded.model.generation_config
        self._samples_by_default = bool(config.do_sample)
        self._default_beams = int(config.num_beams or 1)
        strings = config.stop_strings or ()
        self._default_stop = (strings,) if isinstance(strings, str) else tuple(strings)
        self._default_returned = int(config.num_return_sequences or 1)
        self.grammars = Grammars(loaded)

    @property
    def facts(self) -> dict[str, Any]:
        """How the model decodes when it is not told: what a client's parameters must go with."""
        return {"samples_by_default": self._samples_by_default, "beams_by_default": self._default_beams}

    def make(
        self,
        input_ids: list[int],
        params: Mapping[str, Any],
        *,
        max_new_tokens: int,
        forced_bos_token_id: int | None = None,
        own_seed: int | None = None,
    ) -> Prompt:
        """A prompt, with a seed when it samples.

        Args:
            input_ids: its tokens.
            params: what the client set.
            max_new_tokens: how many may follow.
            forced_bos_token_id: the token that its output begins with, for models that need one.
            own_seed: the seed where the client gave none; None: one is drawn.

        Raises:
            InvalidParameter: more sequences are asked for than the search yields, or a parameter
                would be ignored.
        """
        grammar = self.grammars.of(params)
        if grammar is not None:
            refuse_beside_a_grammar(params)
        is_sampled = bool(params.get("do_sample", self._samples_by_default))
        num_beams = 1 if grammar else int(params.get("num_beams", self._default_beams))
        is_free = is_sampled and num_beams == 1  # as many sequences as anybody wants
        num_returned = self._default_returned if is_free else min(self._default_returned, num_beams)
        num_returned = int(params.get("num_return_sequences", num_returned))
        if num_returned > num_beams and not is_free:
            raise InvalidParameter(
                f"num_return_sequences={num_returned} needs do_sample without beams, "
                f"or num_beams of at least {num_returned}"
            )
        refuse_ignored(params, is_sampled=is_sampled, num_beams=num_beams, max_new_tokens=max_new_tokens)
        seed = secrets.randbits(31) if own_seed is None else own_seed
        return Prompt(
            input_ids=input_ids,
            max_new_tokens=max_new_tokens,
            params=self._passed_on(params, num_returned) | (_UNDER_A_GRAMMAR if grammar else {}),
            num_rows=max(num_beams, num_returned),
            grammar=grammar,
            stop=() if grammar else tuple(params.get("stop", self._default_stop)),
            seed=int(params.get("seed", seed)) if is_sampled else None,
            forced_bos_token_id=forced_bos_token_id,
        )

    def _passed_on(self, params: Mapping[str, Any], num_returned: int) -> dict[str, Any]:
        passed = {name: params[name] for name in _PASSED_ON if name in params}
        if num_returned != self._default_returned:  # fewer than the model would return by itself
            passed["num_return_sequences"] = num_returned
        return passed
