"""A model's folder neither chooses code, nor hangs a load, nor takes the machine's memory."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.errors import CannotLoad
from models.loading.device import Device
from models.loading.registry import check_model, load_model
from models.loading.source import find_source
from models.records import ModelSpec
from tests.support.tiny_models import TinyModels

Folder = Callable[..., Path]


@pytest.fixture
def folder_of(tiny_models: TinyModels, tmp_path: Path) -> Folder:
    def make(name: str, **config: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(tiny_models[name], folder)
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
        return folder

    return make


def _load(folder: Path, cpu: Device, task: str = "generation") -> None:
    load_model(ModelSpec(name="m", task=task, ref=str(folder)), cpu)


@pytest.mark.parametrize(
    ("name", "task", "config"),
    [
        ("gpt2", "generation", {"n_layer": 100_000}),
        ("gpt2", "generation", {"n_embd": 10**9}),
        ("gpt2", "generation", {"n_head": 10**7}),
        ("llama", "generation", {"num_hidden_layers": 10**30}),
        ("marian", "translation", {"decoder_layers": 200_000}),
        ("bert-classifier", "sentiment", {"num_labels": 10_000_000}),
        ("bert-classifier", "sentiment", {"id2label": {str(n): "x" for n in range(100_001)}}),
        ("bert-classifier", "sentiment", {"text_config": {"intermediate_size": 10**12}}),
        ("bert-qa", "qa", {"vocab_size": 10**9}),
    ],
)
def test_numbers_that_no_model_has_are_refused_before_anything_is_built(
    folder_of: Folder, name: str, task: str, config: dict[str, Any]
) -> None:
    """S15c: 100,000 layers and ten million labels were built until nobody waited any more."""
    spec = ModelSpec(name="m", task=task, ref=str(folder_of(name, **config)))
    setting = next(iter(config)) if "text_config" not in config else "intermediate_size"
    with pytest.raises(CannotLoad, match=f"config.json has {setting}=.* is the most"):
        check_model(spec)


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_a_config_of_far_more_than_the_weights_is_refused(folder_of: Folder, cpu: Device, dtype: str) -> None:
    """S15c: what the file lacks would have been made up, gigabytes of it."""
    folder = folder_of("gpt2", n_embd=2048, n_layer=200, n_head=16, n_inner=None)
    with pytest.raises(CannotLoad, match="do not belong together"):
        load_model(ModelSpec(name="m", task="generation", ref=str(folder), dtype=dtype), cpu)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)
        made.bind(path.name)


@pytest.mark.parametrize("name", ["model.safetensors", "more.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("put", [_pipe, _device, _socket])
def test_what_is_no_regular_file_is_never_opened(
    folder_of: Folder, name: str, put: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S15c: a pipe named model.safetensors, or a link to /dev/zero, was read without end."""
    folder = folder_of("gpt2")
    monkeypatch.chdir(folder)
    (folder / name).unlink(missing_ok=True)
    put(folder / name)
    with pytest.raises(CannotLoad, match=f"{name}: this is no regular file"):
        find_source(str(folder), None)


@pytest.mark.parametrize(
    "named",
    [
        "pytorch_model.bin",
        "../model.safetensors",
        "/etc/passwd",
        "sub/x.safetensors",
        "..\\x.safetensors",
        7,
        None,
    ],
)
def test_an_index_that_names_anything_but_safetensors_beside_it_is_refused(
    folder_of: Folder, cpu: Device, named: Any
) -> None:
    """S15d: torch.load was called on a .bin that an index of safetensors named."""
    folder = folder_of("gpt2")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    index = {"weight_map": dict.fromkeys(list(weights)[1:], "one.safetensors") | {next(iter(weights)): named}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CannotLoad, match=r"only \.safetensors files|no index of shards"):
        _load(folder, cpu)


@pytest.mark.parametrize("text", ["", "[]", '{"weight_map": []}', '{"weight_map": 3}', "[" * 100_000])
def test_an_index_that_is_none_is_refused(folder_of: Folder, text: str) -> None:
    folder = folder_of("gpt2")
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CannotLoad, match="no index of shards"):
        find_source(str(folder), None)


def test_shards_are_loaded_and_every_one_of_them_is_in_the_revision(folder_of: Folder, cpu: Device) -> None:
    """S15d: the revision says what was loaded: the index and its shards, and no file that lies beside them."""
    folder = folder_of("gpt2")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for name, keys in parts.items():
        save_file({key: weights[key] for key in keys}, folder / name, metadata={"format": "pt"})
    weight_map = {key: name for name, keys in parts.items() for key in keys}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    _load(folder, cpu)
    before = find_source(str(folder), None).revision
    save_file({"x": torch.zeros(1)}, folder / "other.safetensors")
    assert find_source(str(folder), None).revision == before
    save_file({key: weights[key] + 1 for key in parts["b.safetensors"]}, folder / "b.safetensors")
    assert find_source(str(folder), None).revision != before
