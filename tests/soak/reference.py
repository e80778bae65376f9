"""`python -m tests.soak.reference`: what transformers alone makes of the texts of a soak, as JSON.

A process of its own, so that the one that watches the stack stays small.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.soak.orders import LABELS, STORIES, STORY_TOKENS, Reference, real_texts

_ROOT = Path(__file__).parents[2]
_BUNDLED = _ROOT / "models" / "bundled"


def read_reference() -> Reference:
    """Has it computed; a quarter of a minute."""
    command = [sys.executable, "-m", "tests.soak.reference"]
    done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE)
    found: Reference = json.loads(done.stdout)
    return found


def _labels() -> dict[str, Any]:
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(_BUNDLED / "sentiment"), dtype="float32")
    return {text: classify(text)[0] for text in real_texts()}


def _stories() -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(_BUNDLED / "generation")
    model = AutoModelForCausalLM.from_pretrained(_BUNDLED / "generation", dtype=torch.float32)
    found = {}
    for text in real_texts():
        inputs = tokenizer(text, return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=STORY_TOKENS, do_sample=False)[0]
        whole = tokenizer.decode(tokens, skip_special_tokens=True)
        prompt = tokenizer.decode(inputs["input_ids"][0], skip_special_tokens=True)
        found[text] = {"text": str(whole).removeprefix(str(prompt))}
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps({LABELS: _labels(), STORIES: _stories()}))
