"""What transformers' logits processors look at, and when they do anything."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import LogitsProcessor
from transformers.generation import logits_process as processors

#: Work on each row of scores by itself and look at nothing else.
_LOOK_AT_SCORES_ALONE = (
    processors.TemperatureLogitsWarper, processors.TopKLogitsWarper, processors.TopPLogitsWarper,
    processors.MinPLogitsWarper, processors.TypicalLogitsWarper, processors.EpsilonLogitsWarper,
    processors.EtaLogitsWarper, processors.SuppressTokensLogitsProcessor,
    processors.InfNanRemoveLogitsProcessor, processors.LogitNormalization,
)  # fmt: skip
#: Choose among tokens; they come last.
_CHOOSE = (
    processors.TemperatureLogitsWarper, processors.TopKLogitsWarper, processors.TopPLogitsWarper,
    processors.MinPLogitsWarper, processors.TypicalLogitsWarper, processors.EpsilonLogitsWarper,
    processors.EtaLogitsWarper, processors.LogitNormalization,
)  # fmt: skip
#: Count new tokens, or forbid by number: padding before the prompt is nothing to them.
_LOOK_AT_NO_PROMPT = (
    processors.MinNewTokensLengthLogitsProcessor, processors.SuppressTokensAtBeginLogitsProcessor,
    processors.ForcedEOSTokenLogitsProcessor, processors.ExponentialDecayLengthPenalty,
)  # fmt: skip
_LOOK_AT_SOURCE = (
    processors.EncoderRepetitionPenaltyLogitsProcessor, processors.EncoderNoRepeatNGramLogitsProcessor,
)  # fmt: skip


def is_the_same_when_padded(processor: LogitsProcessor, *, is_encoder_decoder: bool) -> bool:
    """Whether it does to a row what it would do if the row's prompt were not padded."""
    if isinstance(processor, _LOOK_AT_SOURCE):
        return False
    if is_encoder_decoder or isinstance(processor, (*_LOOK_AT_SCORES_ALONE, *_LOOK_AT_NO_PROMPT)):
        return True
    return isinstance(processor, processors.NoBadWordsLogitsProcessor) and _banned_by(processor) is not None


def is_active(processor: LogitsProcessor, length: int) -> bool:
    """Whether it does anything to sequences of this length."""
    if isinstance(processor, processors.MinNewTokensLengthLogitsProcessor):
        return bool(length - processor.prompt_length_to_skip < processor.min_new_tokens)
    if isinstance(processor, processors.MinLengthLogitsProcessor):
        return bool(length < processor.min_length)
    if isinstance(processor, processors.ForcedBOSTokenLogitsProcessor):
        return length == 1
    if isinstance(processor, processors.ForcedEOSTokenLogitsProcessor):
        return bool(length == processor.max_length - 1)
    if isinstance(processor, processors.SuppressTokensAtBeginLogitsProcessor):
        return bool(length == processor.begin_index)
    return True


def forces_first(made: Sequence[LogitsProcessor]) -> bool:
    """Whether the first new token is the model's own."""
    return any(isinstance(each, processors.ForcedBOSTokenLogitsProcessor) for each in made)


def before_the_choice(made: Sequence[LogitsProcessor], own: LogitsProcessor) -> list[LogitsProcessor]:
    """Processors with another one behind those that change scores, before those that choose among them."""
    place = next((place for place, each in enumerate(made) if isinstance(each, _CHOOSE)), len(made))
    return [*made[:place], own, *made[place:]]


def banned_tokens(active: Sequence[LogitsProcessor]) -> list[int] | None:
    """The tokens they forbid, if that is all they do."""
    banned: list[int] = []
    for each in active:
        tokens = _banned_by(each)
        if tokens is None:
            return None
        banned += tokens
    return banned


def _banned_by(processor: LogitsProcessor) -> list[int] | None:
    if isinstance(
        processor, (processors.MinNewTokensLengthLogitsProcessor, processors.MinLengthLogitsProcessor)
    ):
        return list(processor.eos_token_id.tolist())
    if isinstance(
        processor, (processors.SuppressTokensLogitsProcessor, processors.SuppressTokensAtBeginLogitsProcessor)
    ):
        tokens = getattr(processor, "suppress_tokens", getattr(processor, "begin_suppress_tokens", None))
        return list(tokens.tolist()) if tokens is not None else None
    if isinstance(processor, processors.NoBadWordsLogitsProcessor):
        sequences = list(processor.sequence_bias)
        return [ids[0] for ids in sequences] if all(len(ids) == 1 for ids in sequences) else None
    return None
