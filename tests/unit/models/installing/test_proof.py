"""What is found out about a model before it is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, PretrainedConfig

from models.errors import CannotLoad
from models.installing import __main__ as program
from models.installing.proof import prove
from models.installing.task_of import task_of
from models.loading.device import Device
from models.loading.source import find_source
from models.records import ModelSpec
from tests.support.engines import FakeEngine
from tests.support.gguf_files import write_gguf
from tests.support.tiny_models import TinyModels


@pytest.mark.parametrize(
    ("name", "task", "output"),
    [
        ("gpt2", "generation", "text"),
        pytest.param("marian", "translation", "text", marks=pytest.mark.slow),  # ten seconds of proof
        ("bert-classifier", "sentiment", "label"),
        ("bert-qa", "qa", "answer"),
    ],
)
def test_a_model_is_loaded_as_by_a_worker_and_answers(
    tiny_models: TinyModels, cpu: Device, name: str, task: str, output: str
) -> None:
    found = prove(tiny_models[name], cpu, name="m", task=None, dtype="float32", gguf=None, defaults={})
    assert found["task"] == task
    assert output in found["trial"]["answered"]
    assert found["trial"]["documents_per_second"] > 0
    facts = found["facts"]
    assert (facts["dtype"], facts["device"], facts["proven"]) == ("float32", "cpu", True)
    assert facts["revision"] == find_source(str(tiny_models[name]), None).revision


class Rounded(FakeEngine):
    """A model that is decoded by pages in some formats only."""

    def __init__(self, dtype: str, by_pages: set[str]) -> None:
        super().__init__()
        self.dtype, self.way = dtype, "continuous" if dtype in by_pages else "batches"

    def describe(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "way": self.way, "decoded_by": "x", "memory_bytes": 1}


@pytest.mark.parametrize(
    ("asked", "by_pages", "computed_in", "kept"),
    [
        ("auto", {"float32"}, "float32", "float32"),
        ("auto", {"float32", "bfloat16"}, "bfloat16", None),
        ("auto", set(), "bfloat16", None),
        ("bfloat16", {"float32"}, "bfloat16", None),
    ],
)
def test_numbers_that_keep_a_model_from_its_pages_are_not_chosen_for_it(
    monkeypatch: pytest.MonkeyPatch, tiny_models: TinyModels, cpu: Device,
    asked: str, by_pages: set[str], computed_in: str, kept: str | None,
) -> None:  # fmt: skip
    """SmolLM2 in bfloat16 on a CPU went by batches, at a fraction of the speed of float32 by pages."""

    def build(spec: ModelSpec, _device: Device) -> Rounded:
        return Rounded("bfloat16" if spec.dtype == "auto" else spec.dtype, by_pages)

    monkeypatch.setattr("models.installing.proof.build_engine", build)
    found = prove(tiny_models["gpt2"], cpu, name="m", task=None, dtype=asked, gguf=None, defaults={})
    assert (found["facts"]["dtype"], found["dtype"]) == (computed_in, kept)


def test_the_program_writes_what_it_found_or_why_not(
    tiny_models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, folder = tmp_path / "report.json", tmp_path / "model"
    folder.mkdir()
    file = write_gguf(tiny_models["qwen"], tmp_path / "m.gguf")
    arguments = [
        "x",
        str(folder),
        "--report",
        str(report),
        "--name",
        "m",
        "--device",
        "cpu",
        "--gguf",
        str(file),
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    assert program.main() == 0
    found = json.loads(report.read_text())
    assert (found["task"], found["facts"]["has_chat_template"]) == ("generation", True)
    file.write_bytes(b"nothing")
    assert program.main() == 1
    assert "is no GGUF file" in json.loads(report.read_text())["error"]


def test_a_folder_of_other_contents_than_were_installed_is_refused(tiny_models: TinyModels) -> None:
    folder = str(tiny_models["gpt2"])
    revision = find_source(folder, None).revision
    assert find_source(folder, revision).revision == revision
    assert find_source(folder, "main").revision == revision  # a folder has no branches
    with pytest.raises(CannotLoad, match=f"not those that were asked for: {revision}, not sha256:0"):
        find_source(folder, "sha256:0")


@pytest.mark.parametrize(
    ("model_type", "architecture", "task"),
    [
        ("gpt2", "GPT2LMHeadModel", "generation"),
        ("gpt2", "GPT2ForSequenceClassification", "sentiment"),
        ("llama", "LlamaForCausalLM", "generation"),
        ("marian", "MarianMTModel", "translation"),
        ("m2m_100", "M2M100ForConditionalGeneration", "translation"),
        ("bart", "BartForSequenceClassification", "sentiment"),
        ("roberta", "RobertaForQuestionAnswering", "qa"),
    ],
)
def test_a_configuration_says_what_its_model_was_trained_for(
    model_type: str, architecture: str, task: str
) -> None:
    assert task_of(AutoConfig.for_model(model_type, architectures=[architecture])) == task


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (AutoConfig.for_model("t5", architectures=["T5ForConditionalGeneration"]), "say which with --task"),
        (AutoConfig.for_model("bert", architectures=["BertModel"]), "name it with --task"),
        (AutoConfig.for_model("bert"), "name it with --task"),
    ],
)
def test_where_it_does_not_the_user_says_it(config: PretrainedConfig, said: str) -> None:
    with pytest.raises(CannotLoad, match=said):
        task_of(config)
