"""From a prompt's parameters to `Sampling`, through transformers' own processors.

`generate` assembles the same processors, so defaults and combinations are the same by
construction. A prompt whose processors the sampler does not know is not served here.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from transformers import LogitsProcessor
from transformers.generation import logits_process as processors

from models.decoding.layout import NUM_BANNED_IDS, NUM_END_IDS
from models.decoding.request import Sampling
from models.engine.options import Options, OptionsMaker
from models.engine.processors import banned_tokens
from models.engine.prompt import Prompt
from models.engine.stops import StopStrings
from models.registry import LoadedModel

_MAX_CACHED = 256
#: Say from where a token may end a sequence; read from the configuration.
_LENGTHS = (processors.MinLengthLogitsProcessor, processors.MinNewTokensLengthLogitsProcessor)


@dataclass(frozen=True)
class _Recipe:
    """What prompts of equal parameters share; None: they are not served here."""

    sampling: Sampling | None
    stop: StopStrings | None = None


class SamplingMaker:
    """Makes `Sampling` for one model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._options = OptionsMaker(loaded.model, loaded.tokenizer)
        self._recipes: OrderedDict[Hashable, _Recipe] = OrderedDict()

    def make(self, prompt: Prompt) -> tuple[Sampling, StopStrings | None] | None:
        """How a prompt's tokens are chosen, and what else ends it; None if that is not served here."""
        params = dict(prompt.params)
        min_new_tokens = params.pop("min_new_tokens", None)  # often differs between documents
        key = (tuple(sorted(params.items())), prompt.forced_bos_token_id, prompt.stop)
        recipe = self._recipes.get(key)
        if recipe is None:
            recipe = self._recipes[key] = self._recipe(dataclasses.replace(prompt, params=params))
            if len(self._recipes) > _MAX_CACHED:
                self._recipes.popitem(last=False)
        if recipe.sampling is None:
            return None
        if min_new_tokens is None:
            return recipe.sampling, recipe.stop
        # Given by a client it takes the place of a minimum length in the model's defaults, as in `generate`.
        sampling = dataclasses.replace(recipe.sampling, min_new_tokens=int(min_new_tokens), min_length=0)
        return sampling, recipe.stop

    def _recipe(self, prompt: Prompt) -> _Recipe:
        try:
            options = self._options.make(prompt)
        except Exception:  # transformers' own checks; whoever computes it instead says what is wrong
            return _Recipe(None)
        if options.num_beams > 1 or options.num_returned > 1:
            return _Recipe(None)
        return _Recipe(_sampling_of(options), options.stop)


def _sampling_of(options: Options) -> Sampling | None:
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
    if isinstance(processor, _LENGTHS):
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
