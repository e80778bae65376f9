"""Which numbers `--dtype auto` computes in."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoModelForCausalLM, GPT2Config

from models.errors import CannotLoad
from models.loading.device import Device
from models.loading.precision import choose_dtype

TINY = GPT2Config(n_embd=64, n_layer=2, n_head=2, vocab_size=400)
#: As large as the bundled models.
SMALL = GPT2Config(n_embd=288, n_layer=6, n_head=6, vocab_size=7000)


def device(name: str = "cpu", *, has_fast_bfloat16: bool = True) -> Device:
    return Device(
        name=name, title="a device", memory_bytes=1, num_threads=1, has_fast_bfloat16=has_fast_bfloat16
    )


def chosen(config: Any, on: Device, *, requested: str = "auto", task: str = "generation") -> str:
    return choose_dtype(requested, task=task, model_class=AutoModelForCausalLM, config=config, device=on)


def test_a_processor_with_bfloat16_units_takes_it_for_a_model_of_the_bundled_size() -> None:
    # It used to begin at 50 million parameters; the bundled models are 1.3 to 1.7 times as fast in it.
    assert chosen(SMALL, device()) == "bfloat16"


@pytest.mark.parametrize("config", [TINY, SMALL])
def test_a_processor_without_them_stays_in_float32(config: Any) -> None:
    assert chosen(config, device(has_fast_bfloat16=False)) == "float32"


def test_a_tiny_model_stays_in_float32_on_a_cpu() -> None:
    assert chosen(TINY, device()) == "float32"


def test_question_answering_stays_in_float32_on_a_cpu() -> None:
    assert chosen(SMALL, device(), task="qa") == "float32"


@pytest.mark.parametrize("task", ["generation", "qa"])
def test_a_gpu_takes_bfloat16_where_it_has_it(task: str) -> None:
    assert chosen(TINY, device("cuda:0"), task=task) == "bfloat16"
    assert chosen(TINY, device("cuda:0", has_fast_bfloat16=False), task=task) == "float32"


def test_what_was_asked_for_is_taken_whatever_would_be_faster() -> None:
    assert chosen(SMALL, device(), requested="float32") == "float32"


@pytest.mark.parametrize(
    ("requested", "on"), [("float8", device()), ("int8", device("cuda:0"))], ids=["unknown", "not-there"]
)
def test_what_the_device_does_not_do_is_refused(requested: str, on: Device) -> None:
    with pytest.raises(CannotLoad, match=requested):
        chosen(SMALL, on, requested=requested)
