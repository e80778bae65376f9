"""What the bundled generation model does when nobody says how to decode."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.repetition import is_loop, repeated_share
from models.loading.source import find_source

_PROMPTS = ("The old man sat by the fire and", "It was a bright cold morning, and the", "My dear friend,")


def _continued(**params: float) -> list[list[str]]:
    """By transformers, one prompt at a time."""
    folder = Path(find_source("bundled:generation", None).location)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = []
    for prompt in _PROMPTS:
        encoded = tokenizer(prompt, return_tensors="pt")
        produced = model.generate(**encoded, max_new_tokens=80, **params)[0]
        texts.append(tokenizer.decode(produced[encoded["input_ids"].shape[1] :]).split())
    return texts


def test_the_bundled_model_does_not_loop_by_default() -> None:
    """Issue 20: by default half of all 4-grams were repeated, and every long text ended in a loop."""
    assert not any(map(is_loop, _continued()))
    assert sum(map(is_loop, _continued(repetition_penalty=1.0))) >= 2  # the measure sees a loop


@pytest.mark.parametrize(
    ("text", "share"),
    [("a b c d e f", 0.0), ("a b c d a b c d", 0.2), ("a a a a a a", 2 / 3), ("a b", 0.0), ("", 0.0)],
)
def test_the_share_of_repeated_4_grams_is_counted_as_its_paper_does(text: str, share: float) -> None:
    assert repeated_share(text.split()) == pytest.approx(share)
