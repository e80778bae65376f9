"""Which files of a folder are a model's."""

from __future__ import annotations

import pytest

from textmill.errors import NotAModel
from textmill.installing.selection import select

BESIDE = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "README.md",
    "LICENSE",
]


def test_pickles_and_code_stay_where_they_are() -> None:
    there = [*BESIDE, "model.safetensors", "pytorch_model.bin", "modeling_x.py", "training_args.bin", "x.pkl"]
    chosen = select(there, "m")
    assert set(chosen.files) == {*BESIDE, "model.safetensors"}
    assert set(chosen.left_out) == {"pytorch_model.bin", "modeling_x.py", "training_args.bin", "x.pkl"}
    assert chosen.gguf is None


@pytest.mark.parametrize(
    ("weights", "taken"),
    [
        (["model.safetensors", "model.fp16.safetensors"], {"model.safetensors"}),
        (
            ["model.safetensors.index.json", "model-1-of-2.safetensors", "model-2-of-2.safetensors", "consolidated.safetensors"],
            {"model.safetensors.index.json", "model-1-of-2.safetensors", "model-2-of-2.safetensors"},
        ),
        (["model.safetensors", "model.gguf"], {"model.safetensors"}),
    ],
)  # fmt: skip
def test_the_same_weights_are_taken_once(weights: list[str], taken: set[str]) -> None:
    assert set(select([*BESIDE, *weights], "m").files) == {*BESIDE, *taken}


def test_of_several_gguf_files_one_is_named() -> None:
    with pytest.raises(NotAModel, match=r"several GGUF files; choose one with --file: a.gguf, b.gguf"):
        select(["a.gguf", "b.gguf"], "m")
    assert select(["a.gguf", "b.gguf"], "m", file="b.gguf").gguf == "b.gguf"
    assert select(["a.gguf", "model.safetensors"], "m", file="a.gguf").files == ("a.gguf",)
    with pytest.raises(NotAModel, match=r"there is no c.gguf; GGUF files in it: a.gguf, b.gguf"):
        select(["a.gguf", "b.gguf"], "m", file="c.gguf")


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (["config.json", "pytorch_model.bin"], "weights are in pytorch_model.bin; only safetensors and GGUF"),
        (["config.json"], "no weights in it"),
        ([], "no weights in it"),
        (["model.safetensors"], "no config.json"),
    ],
)
def test_what_is_no_model_is_said(there: list[str], said: str) -> None:
    with pytest.raises(NotAModel, match=said):
        select(there, "m")
