"""Which task a model was trained for, by its configuration."""

from __future__ import annotations

from transformers import PretrainedConfig

from models.errors import CannotLoad

_BY_HEAD = (
    ("ForSequenceClassification", "sentiment"),
    ("ForQuestionAnswering", "qa"),
    ("ForCausalLM", "generation"),
    ("LMHeadModel", "generation"),
)
#: Encoder-decoders that were made for translation and nothing else.
_TRANSLATORS = {"marian", "m2m_100", "nllb-moe", "mbart", "fsmt"}


def task_of(config: PretrainedConfig) -> str:
    """The task.

    Raises:
        CannotLoad: it can be several, or none; the message says how to name one.
    """
    architectures = config.architectures or []
    for ending, task in _BY_HEAD:
        if any(name.endswith(ending) for name in architectures):
            return task
    if config.model_type in _TRANSLATORS:
        return "translation"
    named = ", ".join(architectures) or config.model_type
    if config.is_encoder_decoder:
        raise CannotLoad(f"{named} can be for translation or for generation: say which with --task")
    raise CannotLoad(
        f"{named} does not say what it was trained for: name it with --task generation, translation, "
        "sentiment or qa"
    )
