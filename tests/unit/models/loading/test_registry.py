"""What is loaded, what is refused, and what is said about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.errors import CannotLoad
from models.loading import registry
from models.loading.device import Device
from models.loading.registry import Family, LoadedModel, check_model, load_model
from models.records import ModelSpec
from tests.support.tiny_models import TinyModels


def spec(ref: Path | str, task: str, **more: str) -> ModelSpec:
    return ModelSpec(name="m", task=task, ref=str(ref), **more)  # type: ignore[arg-type]


@pytest.fixture
def copy_of(tiny_models: TinyModels, tmp_path: Path):  # type: ignore[no-untyped-def]
    def copy(name: str, **config: object) -> Path:
        folder = tmp_path / name
        shutil.copytree(tiny_models[name], folder)
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
        return folder

    return copy


@pytest.mark.parametrize(
    ("name", "task", "family"),
    [
        ("gpt2", "generation", Family.CAUSAL),
        ("llama", "generation", Family.CAUSAL),
        ("t5", "generation", Family.SEQ2SEQ),
        ("t5", "translation", Family.SEQ2SEQ),
        ("marian", "translation", Family.SEQ2SEQ),
        ("bart", "translation", Family.SEQ2SEQ),
        ("nllb", "translation", Family.SEQ2SEQ),
        ("bert-classifier", "sentiment", Family.CLASSIFIER),
        ("bert-qa", "qa", Family.EXTRACTIVE),
    ],
)
def test_a_local_folder_loads_with_its_family_and_facts(
    tiny_models: TinyModels, cpu: Device, name: str, task: str, family: Family
) -> None:
    loaded = load_model(spec(tiny_models[name], task), cpu)
    assert loaded.family is family
    assert loaded.dtype == "float32"
    assert not loaded.model.training
    assert loaded.revision is not None
    assert loaded.revision.startswith("sha256:")
    assert loaded.facts["memory_bytes"] >= 4 * loaded.num_parameters
    assert set(loaded.provenance) == {"model_revision", "dtype", "transformers", "torch"}


def test_the_bundled_sentiment_model_loads(cpu: Device) -> None:
    assert load_model(spec("bundled:sentiment", "sentiment"), cpu).family is Family.CLASSIFIER


@pytest.mark.parametrize("ref", ["bundled:nothing", "bundled:../engine", "bundled:"])
def test_a_bundled_name_that_does_not_exist_is_refused_with_those_that_do(cpu: Device, ref: str) -> None:
    with pytest.raises(CannotLoad, match=r"there is no bundled model .* there are: .*sentiment"):
        load_model(spec(ref, "sentiment"), cpu)


def test_a_folder_that_does_not_exist_is_never_looked_up_on_the_hub(cpu: Device, tmp_path: Path) -> None:
    with pytest.raises(CannotLoad, match="there is no folder"):
        load_model(spec(tmp_path / "nothing", "qa"), cpu)


def test_a_base_model_without_a_trained_head_is_refused(tiny_models: TinyModels, cpu: Device) -> None:
    with pytest.raises(CannotLoad, match=r"no trained weights for classifier\.bias"):
        load_model(spec(tiny_models["bert-base"], "sentiment"), cpu)


@pytest.mark.parametrize(
    ("name", "task"),
    [("gpt2", "translation"), ("marian", "sentiment"), ("bert-qa", "translation"), ("gpt2", "poetry")],
)
def test_a_model_that_cannot_do_the_task_is_refused(
    tiny_models: TinyModels, cpu: Device, name: str, task: str
) -> None:
    with pytest.raises(CannotLoad, match=task):
        load_model(spec(tiny_models[name], task), cpu)


def test_pickled_weights_are_refused(copy_of, cpu: Device) -> None:  # type: ignore[no-untyped-def]
    folder = copy_of("gpt2")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CannotLoad, match="safetensors"):
        load_model(spec(folder, "generation"), cpu)


def test_code_that_comes_with_a_model_never_runs(copy_of, cpu: Device, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = copy_of("gpt2", model_type="evil", auto_map={"AutoConfig": "evil.Config"})
    canary = tmp_path / "canary"
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(CannotLoad):
        load_model(spec(folder, "generation"), cpu)
    assert not canary.exists()


@pytest.mark.parametrize(
    "config",
    [
        {"_attn_implementation_internal": "somebody/kernel"},
        {"attn_implementation": "somebody/kernel"},
        {"text_config": {"_attn_implementation_internal": "sdpa"}},
    ],
)
def test_configurations_that_choose_code_are_refused(copy_of, cpu: Device, config: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CannotLoad, match="implementation"):
        load_model(spec(copy_of("gpt2", **config), "generation"), cpu)


def test_a_damaged_file_is_an_error_of_ours(copy_of, cpu: Device) -> None:  # type: ignore[no-untyped-def]
    folder = copy_of("gpt2")
    (folder / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(CannotLoad):
        load_model(spec(folder, "generation"), cpu)


def test_the_revision_of_a_folder_says_which_weights_were_loaded(copy_of, cpu: Device) -> None:  # type: ignore[no-untyped-def]
    folder = copy_of("gpt2")
    before = load_model(spec(folder, "generation"), cpu).revision
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert load_model(spec(folder, "generation"), cpu).revision != before


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_dtype_asked_for_is_the_one_in_force(tiny_models: TinyModels, cpu: Device, dtype: str) -> None:
    loaded = load_model(spec(tiny_models["gpt2"], "generation", dtype=dtype), cpu)
    assert str(loaded.model.dtype) == f"torch.{dtype}"


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_int8_takes_less_memory_and_stays_near_float32(
    tiny_models: TinyModels, cpu: Device, name: str
) -> None:
    def logits(loaded: LoadedModel) -> torch.Tensor:
        ids = torch.arange(5, 25)[None]
        with torch.inference_mode():
            return loaded.model(ids).logits.flatten()

    full = load_model(spec(tiny_models[name], "generation", dtype="float32"), cpu)
    small = load_model(spec(tiny_models[name], "generation", dtype="int8"), cpu)
    assert small.dtype == "int8"
    assert small.memory_bytes < full.memory_bytes
    assert torch.corrcoef(torch.stack([logits(full), logits(small)]))[0, 1] > 0.99


def test_an_unknown_dtype_is_refused(tiny_models: TinyModels, cpu: Device) -> None:
    with pytest.raises(CannotLoad, match="float8"):
        load_model(spec(tiny_models["gpt2"], "generation", dtype="float8"), cpu)


@pytest.mark.parametrize("name", ["gpt2", "t5", "bart"])
def test_a_model_without_the_files_of_its_tokenizer_is_refused(
    name: str, tiny_models: TinyModels, cpu: Device, tmp_path: Path
) -> None:
    """transformers makes an empty tokenizer up, and every text was a row of unknown tokens."""
    folder = Path(shutil.copytree(tiny_models[name], tmp_path / name))
    for path in folder.iterdir():
        if path.name not in {"config.json", "generation_config.json", "model.safetensors"}:
            path.unlink()
    with pytest.raises(CannotLoad, match="tokenizer are not there"):
        load_model(ModelSpec(name=name, task="generation", ref=str(folder)), cpu)


def test_a_folder_of_pickled_weights_is_refused_with_how_to_convert_it(copy_of, cpu: Device) -> None:  # type: ignore[no-untyped-def]
    """H16: "no file named model.safetensors", and no hint. What is said is run here."""
    folder = copy_of("gpt2")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CannotLoad, match=r"pytorch_model\.bin") as refused:
        check_model(spec(folder, "generation"))
    converted = folder.parent / "converted"
    program = str(refused.value).split("in Python: ")[1].replace("NEW_FOLDER", str(converted))
    exec(program, {})
    assert load_model(spec(converted, "generation"), cpu).num_parameters > 0


def test_a_folder_without_weights_is_refused(copy_of) -> None:  # type: ignore[no-untyped-def]
    folder = copy_of("gpt2")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CannotLoad, match=r"no weights: no file ends in \.safetensors"):
        check_model(spec(folder, "generation"))


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("this needs the tiktoken library", "pip install tiktoken"),
        ("broken", "look at its tokenizer's files"),
    ],
)
def test_a_tokenizer_that_cannot_be_read_says_what_to_do(
    message: str,
    advice: str,
    tiny_models: TinyModels,
    cpu: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError(message)

    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    monkeypatch.setattr(registry.AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(CannotLoad, match=advice):
        load_model(spec(tiny_models["gpt2"], "generation"), cpu)
