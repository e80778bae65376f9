"""In which numbers a model computes.

`auto` takes the fastest format the device does well and the task bears:

* CUDA: bfloat16.
* CPU with bfloat16 units (AMX, AVX512-BF16): bfloat16 for models of 5 million
  parameters or more (1.3 to 1.7 times as fast at 8 to 14 million, `docs/LOG.md`);
  smaller ones, which were not measured, stay in float32. So does question answering:
  with eight bits of mantissa the scores of neighbouring spans become equal, and the
  answer a matter of chance.
* Other CPUs: float32.

Outputs are promised to be independent of batch and order in float32 only.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from models.errors import CannotLoad
from models.loading.device import Device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_BFLOAT16_FROM_PARAMETERS = 5_000_000


def choose_dtype(
    requested: str, *, task: str, model_class: Any, config: PretrainedConfig, device: Device
) -> str:
    """The format in force: `float32`, `bfloat16`, `float16` or `int8`.

    Raises:
        CannotLoad: the device does not do what was asked.
    """
    if requested == "auto":
        return _choose_automatically(task, model_class, config, device)
    if requested == "int8":
        if not device.is_cpu:
            raise CannotLoad("dtype int8 is dynamic quantisation for the CPU; use bfloat16 on CUDA")
        return requested
    if requested not in DTYPES:
        raise CannotLoad(f"dtype {requested!r} is not one of auto, {', '.join(DTYPES)}, int8")
    return requested


def quantise(model: PreTrainedModel) -> PreTrainedModel:
    """Turns the linear layers of a float32 model into int8 (weights ahead, activations as they come).

    Raises:
        CannotLoad: this torch has no dynamic quantisation, or not for this processor.
    """
    _replace_conv1d(model)
    try:
        from torch.ao.quantization import quantize_dynamic  # deprecated: absent in later versions

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # says at length that torchao will replace it
            return quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)  # type: ignore[no-any-return]
    except (ImportError, RuntimeError, NotImplementedError) as error:
        raise CannotLoad(f"dtype int8 does not work with this torch on this processor: {error}") from error


def _choose_automatically(task: str, model_class: Any, config: PretrainedConfig, device: Device) -> str:
    if not device.is_cpu:
        return "bfloat16" if device.has_fast_bfloat16 else "float32"
    if not device.has_fast_bfloat16 or task == "qa":
        return "float32"
    with torch.device("meta"):  # counts without allocating
        num_parameters = model_class.from_config(config).num_parameters()
    return "bfloat16" if num_parameters >= _BFLOAT16_FROM_PARAMETERS else "float32"


def _replace_conv1d(model: torch.nn.Module) -> None:
    """GPT-2 keeps its products in transposed `Conv1D` layers, which quantisation does not know."""
    for name, child in list(model.named_children()):
        if isinstance(child, Conv1D):
            linear = torch.nn.Linear(child.weight.shape[0], child.weight.shape[1])
            linear.weight.data = child.weight.data.t().contiguous()
            linear.bias.data = child.bias.data
            setattr(model, name, linear)
        else:
            _replace_conv1d(child)
