"""The snippet every newcomer knows, through the queue and directly: the same text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from tests.support.tiny_models import SENTENCES, TinyModels
from textmill.client import Textmill
from textmill.errors import RequestRefused
from textmill.stack.background import BackgroundStack

PROMPT = "I enjoy walking with my cute dog"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return TinyModels(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def server(folders: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Textmill]:
    models = {
        "generation": folders["gpt2"],
        "translation": folders["marian"],
        "sentiment": "noop:s",
        "qa": "noop:q",
    }
    flags = [f"--model={task}={ref}" for task, ref in models.items()]
    data = tmp_path_factory.mktemp("up")
    with (
        (data / "up.log").open("wb") as log,
        BackgroundStack(data / "d", flags=["--device", "cpu", "--no-flower", *flags], output=log) as stack,
        Textmill(stack.url) as client,
    ):
        yield client


@pytest.mark.parametrize(
    "params",
    [
        {"max_length": 100},
        {"max_length": 60, "num_beams": 4},
        {"max_length": 60, "num_beams": 4, "no_repeat_ngram_size": 2, "early_stopping": True},
    ],
    ids=["greedy", "beam-search", "beam-search-without-repeats"],
)
def test_a_continuation_through_the_queue_is_what_generate_gives(
    params: dict[str, object], server: Textmill, folders: TinyModels
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders["gpt2"])
    model = AutoModelForCausalLM.from_pretrained(folders["gpt2"], dtype=torch.float32)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    direct = tokenizer.decode(model.generate(**inputs, **params)[0], skip_special_tokens=True)

    # In company, so that it is computed in a batch.
    rows = [{"text": text, "params": params} for text in (PROMPT, *SENTENCES)]
    results = list(server.submit(rows, task="generation").wait().results())
    assert results[0].output is not None
    assert PROMPT + results[0].output["text"] == direct


@pytest.mark.parametrize("params", [{}, {"num_beams": 4}], ids=["greedy", "beam-search"])
def test_a_translation_through_the_queue_is_what_generate_gives(
    params: dict[str, object], server: Textmill, folders: TinyModels
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders["marian"])
    model = AutoModelForSeq2SeqLM.from_pretrained(folders["marian"], dtype=torch.float32)
    results = list(
        server.submit([{"text": text, "params": {**params, "max_new_tokens": 40}} for text in SENTENCES[:6]],
                      task="translation").wait().results()
    )  # fmt: skip
    for text, result in zip(SENTENCES, results, strict=False):
        inputs = tokenizer(text, return_tensors="pt")
        direct = model.generate(**inputs, **params, max_new_tokens=40)
        assert result.output is not None
        assert result.output["text"] == tokenizer.decode(direct[0], skip_special_tokens=True).strip()


def test_jobs_for_a_model_that_cannot_be_loaded_are_refused_with_the_reason(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("wb") as log,
        BackgroundStack(
            tmp_path / "data",
            flags=["--device", "cpu", "--no-flower", "--model", f"generation={tmp_path}/nothing-here",
                   "--model=translation=noop:t", "--model=sentiment=noop:s", "--model=qa=noop:q"],
            output=log,
        ) as stack,
        Textmill(stack.url) as client,
    ):  # fmt: skip
        with pytest.raises(RequestRefused) as refused:
            client.submit([{"text": "x"}], task="generation")
        (row,) = refused.value.rows
        assert "nothing-here" in row.message
        assert list(client.jobs()) == []
