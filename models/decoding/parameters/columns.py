"""From a prompt's parameters to `Sampling`, through transformers' own processors.

`generate` assembles the same processors, so defaults and combinations are the same by
construction. A prompt whose processors the sampler does not know goes through them itself.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor
from transformers.generation import logits_process as processors

from models.decoding.grammars.grammar import Constraint
from models.decoding.grammars.processor import GrammarProcessor
from models.decoding.parameters.options import Options, OptionsMaker
from models.decoding.parameters.processors import banned_tokens
from models.decoding.parameters.prompt import Prompt
from models.decoding.sampling.slow_lane import SlowChoice
from models.decoding.scheduling.layout import NUM_BANNED_IDS, NUM_END_IDS
from models.decoding.scheduling.request import Sampling
from models.loading.registry import LoadedModel
from models.loading.stops import StopStrings

_MAX_CACHED = 256
SEEDS = range(2**63)  #: that torch's generators and ours take
#: Say from where a token may end a sequence; read from the configuration.
_LENGTHS = (processors.MinLengthLogitsProcessor, processors.MinNewTokensLengthLogitsProcessor)


@dataclass(frozen=True)
class Choice:
    """How a prompt's tokens are chosen, and what else ends it."""

    sampling: Sampling
    stop: StopStrings | None = None
    slow: SlowChoice | None = None  #: in place of the sampler, which does not know its parameters
    constraint: Constraint | None = None  #: says what the sampler may choose from


@dataclass(frozen=True)
class _Recipe:
    """What prompts of equal parameters share."""

    is_served: bool
    sampling: Sampling | None = None  #: None: the sampler does not know them
    stop: StopStrings | None = None


class SamplingMaker:
    """Makes `Sampling` for one model."""

    def __init__(self, loaded: LoadedModel, *, draws: bool = True) -> None:
        """Sets up.

        Args:
            loaded: the model.
            draws: whether the sampler draws; if not, sampled prompts have a choice of their own.
        """
        self._options = OptionsMaker(loaded.model, loaded.tokenizer)
        self._device = loaded.device.torch
        self._draws = draws
        self._recipes: OrderedDict[Hashable, _Recipe] = OrderedDict()

    def serves(self, prompt: Prompt) -> bool:
        """Whether tokens can be chosen for a prompt; whoever computes the others says what is wrong."""
        return (prompt.seed or 0) in SEEDS and self._recipe_of(prompt).is_served

    def make(self, prompt: Prompt) -> Choice:
        """The choice of a prompt that is served."""
        recipe = self._recipe_of(prompt)
        if recipe.sampling is None:
            slow = SlowChoice(self._options.make(prompt), self._device)
            return Choice(Sampling(), recipe.stop, slow)
        if prompt.grammar is not None:
            return Choice(recipe.sampling, constraint=prompt.grammar.begin())
        min_new_tokens = prompt.params.get("min_new_tokens")
        if min_new_tokens is None:
            return Choice(recipe.sampling, recipe.stop)
        # Given by a client it takes the place of a minimum length in the model's defaults, as in `generate`.
        sampling = dataclasses.replace(recipe.sampling, min_new_tokens=int(min_new_tokens), min_length=0)
        return Choice(sampling, recipe.stop)

    def _recipe_of(self, prompt: Prompt) -> _Recipe:
        params = dict(prompt.params)
        params.pop("min_new_tokens", None)  # often differs between documents
        has_grammar = prompt.grammar is not None
        key = (tuple(sorted(params.items())), prompt.forced_bos_token_id, prompt.stop, has_grammar)
        recipe = self._recipes.get(key)
        if recipe is None:
            recipe = self._recipes[key] = self._recipe(dataclasses.replace(prompt, params=params))
            if len(self._recipes) > _MAX_CACHED:
                self._recipes.popitem(last=False)
        return recipe

    def _recipe(self, prompt: Prompt) -> _Recipe:
        try:
            options = self._options.make(prompt)
        except torch.AcceleratorError:
            raise
        except Exception:  # transformers' own checks; whoever computes it instead says what is wrong
            return _Recipe(is_served=False)
        if options.num_beams > 1 or options.num_returned > 1:
            return _Recipe(is_served=False)
        is_known = self._draws or not options.is_sampled
        return _Recipe(is_served=True, sampling=sampling_of(options) if is_known else None, stop=options.stop)


def sampling_of(options: Options) -> Sampling | None:
    """What the processors of a document say; None if one of them is not known here."""
    config = options.config
    facts: dict[str, Any] = {"temperature": 1.0 if options.is_sampled else 0.0, "banned_ids": ()}
    for processor in options.processors:
        part = _part_of(processor)
        if part is None:
            return None
        facts |= {"banned_ids": facts["banned_ids"] + part} if isinstance(part, tuple) else part
    end_ids = tuple(sorted(options.end_ids))
    if len(end_ids) > NUM_END_IDS or len(facts["banned_ids"]) > NUM_BANNED_IDS:
        return None
    if config.min_new_tokens is not None:
        facts["min_new_tokens"] = int(config.min_new_tokens)
    else:
        facts["min_length"] = int(config.min_length or 0)
    return Sampling(end_ids=end_ids, **facts)


def _part_of(processor: LogitsProcessor) -> dict[str, Any] | tuple[int, ...] | None:
    """What a processor says, as fields of `Sampling` or as banned tokens; None: it is not known here."""
    if isinstance(processor, (*_LENGTHS, GrammarProcessor)):  # the latter goes beside the sampler
        return {}
    if isinstance(processor, processors.TemperatureLogitsWarper):
        return {"temperature": float(processor.temperature)}
    if isinstance(processor, processors.TopKLogitsWarper):
        return {"top_k": int(processor.top_k)}
    if isinstance(processor, processors.TopPLogitsWarper):
        return {"top_p": float(processor.top_p)}
    if isinstance(processor, processors.RepetitionPenaltyLogitsProcessor):
        return {"repetition_penalty": float(processor.penalty)}
    if isinstance(processor, processors.ForcedEOSTokenLogitsProcessor):
        ids = processor.eos_token_id.tolist()
        return {"forced_last_id": int(ids[0])} if len(ids) == 1 else None
    if isinstance(
        processor, (processors.SuppressTokensLogitsProcessor, processors.NoBadWordsLogitsProcessor)
    ):
        banned = banned_tokens([processor])
        return None if banned is None else tuple(banned)
    return None
