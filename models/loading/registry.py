"""Loads a model: weights, tokenizer and the facts about them.

Safetensors only, no code from the hub, one pinned revision for all files. A model
without a trained head for its task is refused: transformers would invent one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto import modeling_auto

from models.errors import CannotLoad, CannotLoadNow
from models.loading.defaults import settle_defaults
from models.loading.device import Device
from models.loading.packing import pack, packs
from models.loading.precision import DTYPES, choose_dtype, quantise
from models.loading.source import (
    Source,
    find_source,
    read_files,
    refuse_foreign_shards,
    refuse_other_weights,
    weights_bytes,
)
from models.loading.weight_files import count_numbers
from models.memory import is_out_of_memory, memory_bytes
from models.records import ModelSpec

T = TypeVar("T")


class Family(StrEnum):
    """How a model computes; decides which engine serves it."""

    CAUSAL = "causal"  #: decoder only
    SEQ2SEQ = "seq2seq"  #: encoder and decoder
    CLASSIFIER = "classifier"  #: a label per text
    EXTRACTIVE = "extractive"  #: a span of the context


_FAMILIES = {
    Family.SEQ2SEQ: (AutoModelForSeq2SeqLM, modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES),
    Family.CAUSAL: (AutoModelForCausalLM, modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
    Family.CLASSIFIER: (
        AutoModelForSequenceClassification,
        modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    ),
    Family.EXTRACTIVE: (
        AutoModelForQuestionAnswering,
        modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    ),
}
#: Some kinds of tokenizers are read by these only; Textmill itself does without.
_TOKENIZER_PACKAGES = ("tiktoken", "sentencepiece", "sacremoses", "jieba", "fugashi", "blobfile", "protobuf")
_DECODING = (Family.SEQ2SEQ, Family.CAUSAL)
#: Families that can do a task, the preferred one first.
_TASKS = {
    "generation": (Family.SEQ2SEQ, Family.CAUSAL),
    "translation": (Family.SEQ2SEQ,),
    "sentiment": (Family.CLASSIFIER,),
    "qa": (Family.EXTRACTIVE,),
}
#: Some files hold two numbers in one; a head that is missing is said by its name.
_MOST_TIMES_PACKED, _FEW_NUMBERS = 2, 50_000_000
_FEW_TOKENS = 1000  # T5 without files has a hundred


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in memory, with everything an engine needs."""

    spec: ModelSpec
    family: Family
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    revision: str | None
    dtype: str  #: the one in force, never `auto`
    device: Device
    num_parameters: int
    memory_bytes: int
    notes: tuple[str, ...] = ()  #: of its own settings: what is not done, a sentence without its stop each

    @property
    def config(self) -> PretrainedConfig:
        """The model's configuration."""
        return self.model.config

    @cached_property  # reading a package's version parses its metadata: 0.7 ms, once a model
    def provenance(self) -> Mapping[str, Any]:
        """What a result records of how it came about; an engine adds the seed."""
        return {
            "model_revision": self.revision,
            "dtype": self.dtype,
            "transformers": version("transformers"),
            "torch": torch.__version__,
        }

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of `Engine.describe`."""
        return {
            "parameters": self.num_parameters,
            "memory_bytes": self.memory_bytes,
            "dtype": self.dtype,
            "device": self.device.name,
            "revision": self.revision,
            "architecture": type(self.model).__name__,
        }


def load_model(spec: ModelSpec, device: Device) -> LoadedModel:
    """Loads a model onto a device, in eval mode.

    Raises:
        CannotLoad: wrong reference, files, task or dtype; the message says which.
        CannotLoadNow: the network or the memory does not allow it at the moment.
    """
    source, family = check_model(spec)
    model_class = _FAMILIES[family][0]
    _refuse_more_than_there_is(spec, source, model_class)
    dtype = choose_dtype(
        spec.dtype, task=spec.task, model_class=model_class, config=source.config, device=device
    )
    tokenizer = _load_tokenizer(spec, source)
    model = _in_memory(spec, lambda: _load_weights(spec, source, model_class, dtype, device))
    notes = settle_defaults(model, tokenizer) if family in _DECODING else ()
    num_parameters = model.num_parameters()
    if dtype == "int8":
        model = quantise(model)
    elif packs(dtype, device, decodes=family in _DECODING):
        model = pack(model)
    return LoadedModel(
        spec=spec,
        family=family,
        model=model,
        tokenizer=tokenizer,
        revision=source.revision,
        dtype=dtype,
        device=device,
        num_parameters=num_parameters,
        memory_bytes=memory_bytes(model),
        notes=notes,
    )


def check_model(spec: ModelSpec) -> tuple[Source, Family]:
    """Whatever can be told of a model without reading its weights; quick for a local folder.

    Raises:
        CannotLoad: wrong reference, files or task; the message says what to do.
        CannotLoadNow: the hub could not be reached.
    """
    source = find_source(spec.ref, spec.revision)
    family = _family_for(spec, source.config)
    refuse_other_weights(source, _FAMILIES[family][0].__name__)
    return source, family


def estimate_bytes(spec: ModelSpec) -> int:
    """About the bytes a bundled or local model will take; 0 for one on the hub, which is not known."""
    try:
        return weights_bytes(spec.ref)
    except CannotLoad:
        return 0  # loading it will say why


def _family_for(spec: ModelSpec, config: PretrainedConfig) -> Family:
    if spec.task not in _TASKS:
        raise CannotLoad(f"model {spec.name!r}: unknown task {spec.task!r}; there are {', '.join(_TASKS)}")
    for family in _TASKS[spec.task]:
        if config.model_type in _FAMILIES[family][1] and _is_meant_for(family, config):
            return family
    architecture = ", ".join(config.architectures or ["no architecture named"])
    raise CannotLoad(
        f"model {spec.name!r} ({config.model_type}: {architecture}) cannot do the task {spec.task!r}"
    )


def _is_meant_for(family: Family, config: PretrainedConfig) -> bool:
    """BART and its like exist as encoder-decoders and as decoders alone; the configuration tells which."""
    architectures = config.architectures or []
    if family is Family.SEQ2SEQ:
        return bool(config.is_encoder_decoder)
    if family is Family.CAUSAL and config.is_encoder_decoder:
        return any(name.endswith("ForCausalLM") for name in architectures)
    return True


def _load_tokenizer(spec: ModelSpec, source: Source) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = read_files(
            spec.ref, lambda: AutoTokenizer.from_pretrained(source.location, **source.pinned)
        )
    except CannotLoadNow:
        raise
    except CannotLoad as error:
        missing = [name for name in _TOKENIZER_PACKAGES if name in str(error) and not find_spec(name)]
        what = f"pip install {' '.join(missing)}" if missing else "look at its tokenizer's files"
        raise CannotLoad(f"{error} (its tokenizer cannot be read: {what}, then start again)") from error
    if _is_empty(tokenizer):
        raise CannotLoad(
            f"{spec.ref}: the files of its tokenizer are not there; save it beside the model: "
            "tokenizer.save_pretrained(FOLDER)"
        )
    return tokenizer


def _is_empty(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Without its files transformers makes a tokenizer that knows special tokens, and reads no text."""
    if len(tokenizer) > _FEW_TOKENS:
        return False
    special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    return len(tokenizer.get_vocab().keys() - special) <= 1  # a mark of word starts may be left


def _load_weights(
    spec: ModelSpec, source: Source, model_class: Any, dtype: str, device: Device
) -> PreTrainedModel:
    refuse_foreign_shards(source)
    model, info = read_files(
        spec.ref,
        lambda: model_class.from_pretrained(
            source.location,
            config=source.config,
            dtype=DTYPES.get(dtype, torch.float32),
            use_safetensors=True,
            output_loading_info=True,
            **source.pinned,
        ),
    )
    _refuse_invented_weights(spec, source, info)
    return model.to(device.torch).eval()  # type: ignore[no-any-return]


def _refuse_more_than_there_is(spec: ModelSpec, source: Source, model_class: Any) -> None:
    """Refuses a configuration of far more than a folder's weights: transformers would invent the rest.

    Raises:
        CannotLoad: so many numbers would be made up.
    """
    if not source.is_local:
        return
    num_there = count_numbers(Path(source.location))
    with torch.device("meta"):  # counts without allocating
        num_wanted = read_files(spec.ref, lambda: model_class.from_config(source.config).num_parameters())
    if num_wanted > _MOST_TIMES_PACKED * num_there + _FEW_NUMBERS:
        raise CannotLoad(
            f"model {spec.name!r}: its config.json describes {num_wanted:,} numbers, and its weights have "
            f"{num_there:,}: they do not belong together"
        )


def _refuse_invented_weights(spec: ModelSpec, source: Source, info: dict[str, Any]) -> None:
    invented = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
    if invented:
        raise CannotLoad(
            f"model {spec.name!r} has no trained weights for {', '.join(invented[:4])}"
            f"{' and others' if len(invented) > 4 else ''}: "
            f"{', '.join(source.config.architectures or [])} was not trained for the task {spec.task!r}: "
            "choose a model that was"
        )


def _in_memory(spec: ModelSpec, load: Callable[[], T]) -> T:
    try:
        return load()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise CannotLoad(f"model {spec.name!r}: {error}") from error
        raise CannotLoadNow(f"model {spec.name!r} does not fit the memory that is free: {error}") from error
