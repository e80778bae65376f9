"""A GGUF file becomes a folder of the same model, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.errors import CannotLoad
from models.loading.device import Device
from models.loading.gguf import convert
from models.loading.registry import load_model
from models.records import ModelSpec
from tests.support.gguf_files import write_gguf
from tests.support.tiny_models import SENTENCES, TinyModels


@pytest.fixture
def qwen(tiny_models: TinyModels) -> Path:
    return tiny_models["qwen"]


@pytest.fixture
def to(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def scores(folder: Path, cpu: Device) -> torch.Tensor:
    loaded = load_model(ModelSpec(name="m", task="generation", ref=str(folder), dtype="float32"), cpu)
    return loaded.model(torch.arange(2, 40)[None]).logits[0]


def test_plain_floats_come_out_as_they_went_in(qwen: Path, to: Path, tmp_path: Path, cpu: Device) -> None:
    convert(write_gguf(qwen, tmp_path / "m.gguf"), to, {"repetition_penalty": 1.3})
    before, after = load_file(qwen / "model.safetensors"), load_file(to / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in after)
    torch.testing.assert_close(scores(to, cpu), scores(qwen, cpu), rtol=1e-5, atol=1e-5)
    defaults = json.loads((to / "generation_config.json").read_text())
    assert defaults["repetition_penalty"] == 1.3
    loaded = load_model(ModelSpec(name="m", task="generation", ref=str(to), dtype="float32"), cpu)
    assert loaded.tokenizer.chat_template
    assert loaded.tokenizer.decode(loaded.tokenizer(SENTENCES[9]).input_ids) == SENTENCES[9]


def test_blocks_become_float16_and_lose_no_more_than_that(
    qwen: Path, to: Path, tmp_path: Path, cpu: Device
) -> None:
    convert(write_gguf(qwen, tmp_path / "m.gguf", quantised=True), to, {})
    before, after = load_file(qwen / "model.safetensors"), load_file(to / "model.safetensors")
    assert {each.dtype for each in after.values()} == {torch.float16}
    for name, values in after.items():
        # Eight bits of a block of 32: half a step of its largest number, and float16's own rounding.
        torch.testing.assert_close(
            values.float(), before[name], rtol=0.001, atol=float(before[name].abs().max()) / 250
        )


def test_a_weight_that_the_file_lacks_is_not_made_up(qwen: Path, to: Path, tmp_path: Path) -> None:
    file = write_gguf(qwen, tmp_path / "m.gguf", without="blk.1.ffn_up.weight")
    with pytest.raises(CannotLoad, match=r"no weights for model\.layers\.1\.mlp\.up_proj\.weight"):
        convert(file, to, {})
    assert list(to.iterdir()) == []


def test_numbers_that_would_not_be_read_are_named(qwen: Path, to: Path, tmp_path: Path) -> None:
    """llama.cpp keeps the rope scaling of Llama 3.1 in a tensor, which transformers leaves out without a word."""
    file = write_gguf(qwen, tmp_path / "m.gguf", extra={"rope_freqs.weight": np.ones(16, np.float32)})
    with pytest.raises(CannotLoad, match=r"reads 16 numbers of it not \(rope_freqs.weight\)"):
        convert(file, to, {})


def test_rope_scaling_that_is_not_read_is_refused(qwen: Path, to: Path, tmp_path: Path) -> None:
    file = write_gguf(qwen, tmp_path / "m.gguf", strings={"qwen2.rope.scaling.type": "yarn"})
    with pytest.raises(CannotLoad, match=r"scales positions \(yarn\)"):
        convert(file, to, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no GGUF file"),
        (b"PK\x03\x04 a zip", "is no GGUF file"),
        (b"GGUF", "m.gguf: "),
        (b"GGUF" + b"\xff" * 64, "m.gguf: "),
    ],
)
def test_what_is_no_gguf_file_is_refused(to: Path, tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    with pytest.raises(CannotLoad, match=said):
        convert(file, to, {})


def test_a_file_that_is_cut_off_is_refused(qwen: Path, to: Path, tmp_path: Path) -> None:
    file = write_gguf(qwen, tmp_path / "m.gguf")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CannotLoad, match="is cut off"):
        convert(file, to, {})
