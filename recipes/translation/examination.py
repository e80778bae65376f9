"""A look at a training while it runs: the loss and the translations of sentences kept for that alone."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import MarianTokenizer

from recipes.tatoeba import read_pairs, references
from recipes.translation.evaluation import scores, translate
from recipes.translation.losses import Loss
from recipes.translation.state import State

_SENTENCES = 150
_SHOWN = 3


class Examination:
    """Appends a line to `examinations.jsonl` in a folder, and prints it with a few translations.

    Args:
        data: the sentences are those of Tatoeba's development split.
        tokenizer: of the model.
        folder: of the file.
    """

    def __init__(self, data: Path, tokenizer: MarianTokenizer, folder: Path) -> None:
        wanted = references(read_pairs(data, "dev"))
        self._wanted = dict(list(wanted.items())[:: max(1, len(wanted) // _SENTENCES)])
        self._tokenizer = tokenizer
        self._path = folder / "examinations.jsonl"

    def __call__(self, state: State) -> None:
        """Of the averaged weights, one beam."""
        model = state.averaged.eval()
        outputs = translate(model, self._tokenizer, list(self._wanted), num_beams=1)
        found = {"step": state.step, "seconds": round(state.seconds), "loss": self._loss(state)}
        line = json.dumps({**found, **scores(outputs, self._wanted)})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)
        for source, output in list(zip(self._wanted, outputs, strict=True))[-_SHOWN:]:
            print(f"  {source} -> {output}", flush=True)

    def _loss(self, state: State) -> float:
        """Nats a token of the first translation of each, without smoothing."""
        first = [german[0] for german in self._wanted.values()]
        sides = [
            self._tokenizer(texts, padding=True, return_tensors="pt")["input_ids"].to(state.model.device)
            for texts in (list(self._wanted), first)
        ]
        with torch.inference_mode():
            return Loss(state.averaged)(sides[0], sides[1], smoothing=0.0).item()
