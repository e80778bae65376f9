"""How much work a document is, in tokens of one forward pass. Pure policy.

Slices are cut by it, and what an owner may have queued is counted in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from jobs.records import NewDocument, Task

Facts = Mapping[str, Any]  #: of one model, as `GET /v1/models` shows them

#: English text has about four characters a token in the byte-pair vocabularies of
#: GPT-2 and its heirs (OpenAI's own rule of thumb); other scripts have fewer.
_CHARACTERS_PER_TOKEN = 4
#: A decoded token costs a whole forward pass of its own, a prompt token shares one:
#: on the CPUs measured the ratio is between 4 and 16.
_DECODE_WEIGHT = 8
_NEW_TOKENS = 128  #: where neither the client nor the model says how many (`models/tasks/generation`)
_MOST_TOKENS = 16_384  #: where nothing is known of the model (`models/tasks/lengths`)
_NO_FACTS: Facts = MappingProxyType({})


class Estimator:
    """Estimates documents by what is known of their models."""

    def __init__(self, facts: Mapping[str, Facts] = MappingProxyType({})) -> None:
        """Sets up.

        Args:
            facts: by name of the model; of some, nothing may be known yet.
        """
        self._facts = facts

    def tokens(self, document: NewDocument) -> int:
        """Work in a document."""
        prompt = document.num_characters // _CHARACTERS_PER_TOKEN + 1
        if document.task not in (Task.GENERATION, Task.TRANSLATION):
            return prompt
        facts = self._facts.get(document.model, _NO_FACTS)
        new = _new_tokens(document, prompt, facts)
        return prompt + _DECODE_WEIGHT * new * _num_rows(document.params, facts)


class Load:
    """Counts documents and their work while they pass."""

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator
        self.documents = 0
        self.tokens = 0

    def counting(self, documents: Iterable[NewDocument]) -> Iterator[NewDocument]:
        """The same documents."""
        for document in documents:
            self.documents += 1
            self.tokens += self._estimator.tokens(document)
            yield document


def _new_tokens(document: NewDocument, prompt: int, facts: Facts) -> int:
    """New tokens of one sequence, as many as there may be."""
    params = document.params
    limit = params.get("max_new_tokens")
    if document.task is Task.TRANSLATION:  # about as long out as in, sentence by sentence
        return prompt if limit is None else min(prompt, int(limit))
    if limit is None and "max_length" in params:
        limit = int(params["max_length"]) - prompt
    if limit is None:
        limit = facts.get("new_tokens_by_default") or _NEW_TOKENS
    most = int(facts.get("max_tokens") or _MOST_TOKENS)
    return max(1, min(int(limit), most - min(prompt, most)))


def _num_rows(params: Mapping[str, Any], facts: Facts) -> int:
    """Sequences decoded side by side."""
    num_beams = int(params.get("num_beams") or facts.get("beams_by_default") or 1)
    return max(num_beams, int(params.get("num_return_sequences") or 1))
