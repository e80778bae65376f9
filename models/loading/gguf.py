"""A GGUF file written once as the folder that `save_pretrained` writes; serving that needs nothing of GGUF.

Read with transformers' own reader. What that would leave out without a word is looked for
here: numbers of the file that become no weight, weights that the file does not have, and
rope scaling, which llama.cpp keeps where transformers does not look.

Quantised numbers are written as float16: of Q4 and Q8 blocks, whose scales are float16, it
keeps all that matters (`docs/decisions/0029-installed-models.md`). Files of plain floats keep theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)

from models.errors import CannotLoad
from models.loading.config_checks import refuse_hostile
from models.loading.source import read_files

_MAGIC = b"GGUF"
#: Of the architecture's own keys: the way in which positions beyond the trained ones are scaled.
_SCALING, _NO_SCALING = ".rope.scaling.type", ("none", "")
#: The only architecture whose scaling transformers takes from there.
_READS_SCALING = ("gpt-oss", "gpt_oss")


def convert(file: Path, folder: Path, defaults: Mapping[str, Any]) -> None:
    """Writes the model of a GGUF file, with its tokenizer and chat template, into a folder.

    Args:
        file: the GGUF file.
        folder: where to; it is there and empty.
        defaults: generation settings that the file cannot hold, by transformers' names.

    Raises:
        CannotLoad: it is no GGUF file, of an architecture that transformers does not read from
            GGUF, or something in it would not be read.
    """
    _refuse_other_files(file)
    header = _header(file)
    config = _config(file)
    model = _model(file, header, config)
    model.generation_config.update(**defaults)
    tokenizer = read_files(str(file), lambda: AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _refuse_other_files(file: Path) -> None:
    if find_spec("gguf") is None:
        raise CannotLoad(
            "GGUF files are read with the package gguf, which is not installed: pip install gguf"
        )
    try:
        with file.open("rb") as opened:
            magic = opened.read(len(_MAGIC))
    except OSError as error:
        raise CannotLoad(f"{file} cannot be read: {error.strerror}") from error
    if magic != _MAGIC:
        raise CannotLoad(f"{file} is no GGUF file: it does not begin with GGUF; fetch it again")


def _header(file: Path) -> Any:
    """Names, shapes and types of the file's tensors.

    Raises:
        CannotLoad: it is damaged, or scales positions in a way that is not read.
    """
    from transformers.integrations.gguf.reader import GgufHeader, read_gguf_metadata

    metadata, _ = read_files(str(file), lambda: read_gguf_metadata(str(file)))
    header = read_files(str(file), lambda: GgufHeader.from_file(str(file)))
    scaling = metadata.get(f"{header.architecture}{_SCALING}", "none")
    if scaling not in _NO_SCALING and header.architecture not in _READS_SCALING:
        raise CannotLoad(
            f"{file}: it scales positions ({scaling}), which transformers does not read from GGUF, and its "
            "answers would be others; add the model as safetensors"
        )
    end = max((header.data_start + each.offset + each.nbytes for each in header.tensors), default=0)
    if end > file.stat().st_size:
        raise CannotLoad(f"{file} is cut off: {file.stat().st_size} of {end} bytes; fetch it again")
    return header


def _config(file: Path) -> PretrainedConfig:
    config: PretrainedConfig = read_files(
        str(file), lambda: AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    )
    refuse_hostile(json.loads(config.to_json_string(use_diff=False)), str(file))
    return config


def _model(file: Path, header: Any, config: PretrainedConfig) -> PreTrainedModel:
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    model_class = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):  # nothing is made up: a weight that the file lacks stays without numbers
        model: PreTrainedModel = read_files(str(file), lambda: model_class.from_config(config))
    num_there = sum(math.prod(each.shape) for each in header.tensors)
    if model.num_parameters() > 2 * num_there:
        raise CannotLoad(f"{file}: it describes {model.num_parameters():,} numbers and has {num_there:,}")
    dtype = header.dtype or torch.float16
    tensors = read_files(
        str(file),
        lambda: load_gguf_checkpoint(str(file), return_tensors=True, model_to_load=model, torch_dtype=dtype)[
            "tensors"
        ],
    )
    _refuse_what_is_lost(file, header, num_there - sum(each.numel() for each in tensors.values()))
    read_files(str(file), lambda: model.load_state_dict(tensors, strict=False, assign=True))
    model.tie_weights()
    model.config.dtype = dtype
    _refuse_what_is_not_there(file, model)
    return model


def _refuse_what_is_lost(file: Path, header: Any, num_lost: int) -> None:
    if num_lost:
        ropes = [each.name for each in header.tensors if "rope" in each.name]
        which = f" ({', '.join(ropes[:3])})" if ropes else ""
        raise CannotLoad(
            f"{file}: transformers reads {abs(num_lost):,} numbers of it {'not' if num_lost > 0 else 'twice'}"
            f"{which}, and its answers would be others; add the model as safetensors"
        )


def _refuse_what_is_not_there(file: Path, model: PreTrainedModel) -> None:
    missing = [name for name, each in model.named_parameters() if each.is_meta]
    if missing:
        raise CannotLoad(f"{file}: it has no weights for {', '.join(missing[:4])}")
    odd = [name for name, each in model.named_parameters() if not bool(torch.isfinite(each).all())]
    if odd:
        raise CannotLoad(f"{file}: {', '.join(odd[:4])} hold numbers that are not finite in {model.dtype}")
