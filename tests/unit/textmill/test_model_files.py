"""What the files of a model tell without torch: held against what really loading it says."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import models
from jobs.catalogue import ModelEntry
from jobs.records import Task
from models.errors import CannotLoad
from models.loading.device import prepare_device
from models.loading.registry import load_model
from models.records import ModelSpec
from tests.support.tiny_models import TinyModels
from textmill import model_checks
from textmill.findings import Verdict
from textmill.model_files import look_into

Change = Callable[[Path], object]
BUNDLED = Path(models.__file__).parent / "bundled"


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return TinyModels(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(tiny_models: TinyModels, tmp_path: Path) -> Path:
    """A small decoder that can be loaded, to be broken."""
    return Path(shutil.copytree(tiny_models["gpt2"], tmp_path / "model"))


def only_old_weights(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def a_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )


def a_shard_is_lost(folder: Path) -> None:
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors").rename(folder / names["a"])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


def an_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def no_tokenizer(folder: Path) -> None:
    for path in [*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("merges*")]:
        path.unlink()


@pytest.mark.parametrize(
    ("change", "problem", "remedy"),
    [
        (only_old_weights, "pytorch_model.bin", "save_pretrained"),
        (cut_off, "cut off", "again"),
        (a_pointer, "Git LFS", "git lfs pull"),
        (a_shard_is_lost, "1 of 2 weight files", "again"),
        (an_adapter, "adapter", "merge"),
        (no_tokenizer, "no tokenizer", "save_pretrained"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json", "save_pretrained"),
        (lambda folder: (folder / "config.json").write_text("{"), "not JSON", "again"),
        (lambda folder: (folder / "config.json").write_text("[]"), "no JSON object", "again"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights", "again"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"12"), "cut off", "again"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\2" + b"\0" * 7 + b"no"), "no safetensors", ""),
    ],
)  # fmt: skip
def test_h16_what_keeps_a_folder_from_being_loaded_is_found_with_the_way_out(
    folder: Path, change: Change, problem: str, remedy: str
) -> None:
    """H16: a folder with pytorch_model.bin was "ok", and nothing said how to convert it."""
    change(folder)
    found = look_into(folder, Task.GENERATION)
    assert found is not None
    assert problem in found[0]
    assert remedy in found[1]
    spec = ModelSpec(name="m", task="generation", ref=str(folder), dtype="float32")
    with pytest.raises(CannotLoad):
        load_model(spec, prepare_device("cpu", num_threads=1))


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("name", ["gpt2", "t5", "marian", "bundled:sentiment", "bundled:qa"])
def test_the_tasks_that_a_model_was_trained_for_are_told_as_loading_tells_them(
    tiny_models: TinyModels, name: str, task: Task
) -> None:
    folder = BUNDLED / name.removeprefix("bundled:") if name.startswith("bundled:") else tiny_models[name]
    spec = ModelSpec(name=name, task=task, ref=str(folder), dtype="float32")
    try:
        load_model(spec, prepare_device("cpu", num_threads=1))
    except CannotLoad:
        is_loaded = False
    else:
        is_loaded = True
    assert (look_into(folder, task) is None) == is_loaded


@pytest.mark.parametrize("task", list(Task))
def test_the_bundled_models_are_whole(task: Task) -> None:
    entry = ModelEntry(name="m", task=task, ref=f"bundled:{task}")
    assert model_checks._check(entry).verdict is Verdict.OK


def test_a_weight_file_that_this_user_may_not_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "model.safetensors").chmod(0)
    if os.access(folder / "model.safetensors", os.R_OK):  # a superuser may read everything
        monkeypatch.setattr(Path, "open", _denied)
    found = look_into(folder, Task.GENERATION)
    assert found is not None
    assert "cannot be read" in found[0]


def _denied(path: Path, *args: object, **options: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


def test_a_tokenizer_that_needs_a_package_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_tokenizer(folder)
    (folder / "qwen.tiktoken").write_text("IQ== 0\n")
    (folder / "tokenizer_config.json").write_text("{}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert look_into(folder, Task.GENERATION) == (
        "its tokenizer needs the package tiktoken",
        "pip install tiktoken",
    )


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("is_offline", "verdict", "text"),
    [(True, Verdict.MISSING, "HF_HUB_OFFLINE"), (False, Verdict.NOTE, "fetched")],
)
def test_h15_a_model_of_the_hub_that_is_not_in_the_cache_is_told(
    cache: Path, is_offline: bool, verdict: Verdict, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H15: `doctor` said that nosuch/model was ok."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", is_offline)
    check = model_checks._check(ModelEntry(name="m", task=Task.SENTIMENT, ref="nosuch/model"))
    assert check.verdict is verdict
    assert text in check.text


def test_a_cached_model_is_looked_into(
    cache: Path, tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    home = cache / "models--org--tiny"
    snapshot = Path(shutil.copytree(tiny_models["gpt2"], home / "snapshots" / ("c" * 40)))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("c" * 40)
    entry = ModelEntry(name="m", task=Task.GENERATION, ref="org/tiny")
    assert model_checks._check(entry).verdict is Verdict.OK
    (snapshot / "model.safetensors").unlink()
    check = model_checks._check(entry)
    assert check.verdict is Verdict.MISSING
    assert "no weights" in check.text


@pytest.mark.parametrize(("ref", "text"), [("./nowhere", "no such folder"), ("a b/c?d", "neither a folder")])
def test_a_reference_that_is_neither_a_folder_nor_an_id_is_told(ref: str, text: str, cache: Path) -> None:
    check = model_checks._check(ModelEntry(name="m", task=Task.QA, ref=ref))
    assert check.verdict is Verdict.MISSING
    assert text in check.text
