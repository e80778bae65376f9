"""From a prompt's parameters to those of a group, through transformers' own processors."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor
from transformers.generation import logits_process as processors

from models.decoding.parameters.columns import SEEDS, sampling_of
from models.decoding.parameters.options import Options, OptionsMaker
from models.decoding.parameters.prompt import Prompt
from models.decoding.sampling.group_choice import GroupChoice
from models.decoding.scheduling.group import EARLY_STOPPING, MOST_BEAMS, MOST_CANDIDATES, BeamParameters
from models.decoding.scheduling.request import Sampling
from models.loading.registry import LoadedModel

_MAX_CACHED = 256


@dataclass(frozen=True)
class GroupParameters:
    """How a prompt is decoded by a group."""

    sampling: Sampling
    beams: BeamParameters
    start_ids: list[int]  #: what an encoder-decoder's decoder begins with
    is_slow: bool = False  #: chosen for on the host: the device does not know its parameters


class BeamParametersMaker:
    """Makes the parameters of groups of one model."""

    def __init__(self, loaded: LoadedModel, vocabulary: int) -> None:
        self._options = OptionsMaker(loaded.model, loaded.tokenizer)
        self._device = loaded.device.torch
        self._is_encoder_decoder = bool(loaded.model.config.is_encoder_decoder)
        self._vocabulary = vocabulary
        self._made: OrderedDict[Hashable, GroupParameters | None] = OrderedDict()

    def make(self, prompt: Prompt) -> GroupParameters | None:
        """How a prompt is decoded by a group; None if that is not served here."""
        if (prompt.seed or 0) not in SEEDS:
            return None
        params = dict(prompt.params)
        min_new_tokens = params.pop("min_new_tokens", None)  # often differs between documents
        has_grammar = prompt.grammar is not None
        key = (tuple(sorted(params.items())), prompt.forced_bos_token_id, prompt.stop, has_grammar)
        if key not in self._made:
            self._made[key] = self._make(dataclasses.replace(prompt, params=params))
            if len(self._made) > _MAX_CACHED:
                self._made.popitem(last=False)
        made = self._made[key]
        if made is None or min_new_tokens is None or made.is_slow:
            return made
        # Given by a client it takes the place of a minimum length in the model's defaults, as in `generate`.
        sampling = dataclasses.replace(made.sampling, min_new_tokens=int(min_new_tokens), min_length=0)
        return dataclasses.replace(made, sampling=sampling)

    def choice(self, prompt: Prompt) -> GroupChoice:
        """How tokens are chosen for a prompt whose group is slow."""
        return GroupChoice(self._options.make(prompt), self._device)

    def _make(self, prompt: Prompt) -> GroupParameters | None:
        try:
            options = self._options.make(prompt)
        except torch.AcceleratorError:
            raise
        except Exception:  # transformers' own checks; whoever computes it instead says what is wrong
            return None
        width = options.num_beams if options.num_beams > 1 else options.num_returned
        if width == 1 and not self._is_encoder_decoder:
            return None  # one row is no group
        start_ids = options.start_ids if self._is_encoder_decoder else []
        fast = self._on_device(options)
        if fast is None:
            return GroupParameters(Sampling(), BeamParameters(num_beams=width), start_ids, is_slow=True)
        return GroupParameters(*fast, start_ids)

    def _on_device(self, options: Options) -> tuple[Sampling, BeamParameters] | None:
        """What the chooser of beams is told; None if it does not know it."""
        forced, others = _forced_first(options.processors)
        if forced is None or options.is_sampled or options.stop or options.prompt.grammar:
            return None
        sampling = sampling_of(dataclasses.replace(options, processors=others))
        beams = self._beams(options, forced)
        if sampling is None or beams is None or sampling.repetition_penalty != 1.0:
            return None
        return sampling, beams

    def _beams(self, options: Options, forced_first_id: int) -> BeamParameters | None:
        config, count = options.config, options.num_beams
        num_candidates = max(2, 1 + options.num_end_ids) * count
        is_known = config.early_stopping in EARLY_STOPPING and options.num_returned <= count
        is_small = count <= MOST_BEAMS and num_candidates <= min(MOST_CANDIDATES, self._vocabulary)
        if not (is_known and is_small):
            return None
        if not self._is_encoder_decoder and forced_first_id >= 0:
            return None  # a token that is forced after a prompt of one only
        if count == 1:  # greedy
            return BeamParameters(num_candidates=num_candidates, forced_first_id=forced_first_id)
        return BeamParameters(
            num_beams=count,
            num_returned=options.num_returned,
            num_candidates=num_candidates,
            length_penalty=1.0 if config.length_penalty is None else float(config.length_penalty),
            early_stopping=EARLY_STOPPING[config.early_stopping],
            forced_first_id=forced_first_id,
        )


def _forced_first(made: list[LogitsProcessor]) -> tuple[int | None, list[LogitsProcessor]]:
    """The forced first token (-1: none; None: several), and the processors that are left."""
    forced: list[Any] = [each for each in made if isinstance(each, processors.ForcedBOSTokenLogitsProcessor)]
    others = [each for each in made if each not in forced]
    if len(forced) > 1:
        return None, others
    return (int(forced[0].bos_token_id) if forced else -1), others
