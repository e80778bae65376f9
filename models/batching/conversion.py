"""A model's files in CTranslate2's format. Imports the package, so only where it is installed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from ctranslate2 import Translator
from ctranslate2.converters import TransformersConverter
from transformers import MarianMTModel

from models.loading.registry import LoadedModel
from models.loading.source import find_source
from models.processor_time import noting_helpers


def convert(loaded: LoadedModel, compute_type: str) -> Translator:
    """Converts a model's files and loads the result; raises whatever the converter does."""
    source = find_source(loaded.spec.ref, loaded.spec.revision)
    with tempfile.TemporaryDirectory(prefix="textmill-ctranslate2-") as folder:
        target = str(Path(folder) / "model")
        converter = _Converter(source.location, revision=source.pinned["revision"])
        converter.convert(target, quantization=compute_type)
        with noting_helpers():
            return Translator(
                target, device="cpu", compute_type=compute_type, intra_threads=loaded.device.num_threads
            )


class _Converter(TransformersConverter):  # type: ignore[misc]  # it has no types
    def load_model(self, *args: Any, **kwargs: Any) -> Any:
        """As CTranslate2's own, with one difference in how Marian begins."""
        model = super().load_model(*args, **kwargs)
        if isinstance(model, MarianMTModel):
            _start_from_zeros(model)
        return model


def _start_from_zeros(model: MarianMTModel) -> None:
    """Moves the vector of Marian's padding, with which decoding starts, into its position.

    CTranslate2 starts from zeros, which is what that vector is in the models of OPUS-MT and not
    in one trained anew. It stands nowhere but at the decoder's first position, and nothing
    else stands there: their sum is what the decoder sees.
    """
    decoder: Any = model.get_decoder()
    start = decoder.embed_tokens.weight[model.config.pad_token_id] * decoder.embed_scale
    with torch.no_grad():
        decoder.embed_positions.weight[0] += start
