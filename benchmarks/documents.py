"""What a document costs beside its model: tokens, offsets, provenance, results.

    python -m benchmarks.documents [--documents 2000]

Each task goes through its own engine, from `submit` to the last outcome, with the bundled
model's tokenizer and a model that costs nothing: the forward pass returns ready tensors,
decoding answers at once with the prompt's own tokens. The tokenizer alone reads the same
texts in the same run; each figure is the processor's time, the best of a few rounds in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks.workload import drain
from models.batching.batch_core import BatchCore
from models.batching.begun import at_once
from models.batching.plan import Piece
from models.decoding.parameters.prompt import Decoded
from models.engine import Engine
from models.loading.device import prepare_device
from models.loading.registry import LoadedModel, load_model
from models.records import DocumentInput, ModelSpec
from models.tasks.generation import GenerationEngine
from models.tasks.qa.task import QaEngine
from models.tasks.sentiment import SentimentEngine
from models.tasks.translation.task import TranslationEngine

_ROUNDS = 5
_WORDS = (
    *("the", "film", "was", "not", "as", "good", "a", "story", "and", "its", "people"),
    *("are", "very", "old", "but", "we", "liked", "music", "of", "it", "house", "river"),
)


@dataclass(frozen=True)
class Task:
    """One engine without a model, and what it reads."""

    name: str
    num_words: int  #: of a text
    make: Callable[[LoadedModel], Engine]
    aim_ms: float | None  #: a document, tokenizer and all
    context_words: int = 0


@dataclass(frozen=True)
class Cost:
    """Milliseconds a document."""

    task: str
    tokens: float  #: of a document
    engine_ms: float
    tokenizer_ms: float
    aim_ms: float | None


def main() -> None:
    """Measures every task and prints a table and a JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=2000)
    count = parser.parse_args().documents
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread, as the rest
    costs = [measure(task, count) for task in _TASKS]
    print(f"{'ms a document':<14} {'tokens':>7} {'engine':>8} {'tokenizer':>10} {'aim':>6}")
    for cost in costs:
        aim = f"{cost.aim_ms:>6.1f}" if cost.aim_ms else f"{'-':>6}"
        print(f"{cost.task:<14} {cost.tokens:>7.1f} {cost.engine_ms:>8.3f} {cost.tokenizer_ms:>10.3f} {aim}")
    print(json.dumps({"benchmark": "documents", "costs": [vars(cost) for cost in costs]}))


def measure(task: Task, count: int) -> Cost:
    """What a document of one task costs."""
    spec = ModelSpec(name=task.name, task=task.name, ref=f"bundled:{task.name}", dtype="float32")
    loaded = load_model(spec, prepare_device("cpu", num_threads=1))
    documents, texts = make_documents(task, count), []
    for document in documents:
        texts += [document.text] if document.context is None else [document.text, document.context]
    engine = task.make(loaded)
    encode = loaded.tokenizer
    tokens, by_engine, by_tokenizer = 0, [], []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        drain(engine, documents)
        middle = time.process_time()
        ids = encode(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        by_tokenizer.append(time.process_time() - middle)
        by_engine.append(middle - begun)
        tokens = sum(map(len, ids))
    engine.close()
    each = 1000 / count
    return Cost(task.name, tokens / count, min(by_engine) * each, min(by_tokenizer) * each, task.aim_ms)


def make_documents(task: Task, count: int) -> list[DocumentInput]:
    """Different ones, all of one length."""
    draw = random.Random(0)

    def text(num_words: int) -> str:
        return " ".join(draw.choices(_WORDS, k=num_words)).capitalize() + "."

    return [
        DocumentInput(
            key=number,
            text=text(task.num_words),
            context=text(task.context_words) if task.context_words else None,
        )
        for number in range(count)
    ]


class _Free(nn.Module):
    """Stands for a model: the same scores for every text and token."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config = model.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Any = None) -> Any:
        ready = torch.linspace(-1, 1, self.config.num_labels).expand(len(input_ids), -1)
        tokens = torch.linspace(-1, 1, 512)[: input_ids.shape[1]].expand(len(input_ids), -1)
        return SimpleNamespace(logits=ready, start_logits=tokens, end_logits=tokens)


def _encoder(make: Callable[[LoadedModel], Engine]) -> Callable[[LoadedModel], Engine]:
    return lambda loaded: make(replace(loaded, model=cast("Any", _Free(loaded.model))))


def _decoder(make: Callable[..., Engine]) -> Callable[[LoadedModel], Engine]:
    return lambda loaded: make(loaded, BatchCore(loaded.spec, at_once(_echo)))


def _echo(pieces: Sequence[Piece]) -> list[Decoded]:
    """Each prompt's own tokens without the last, which may be its end."""
    return [Decoded(sequences=[piece.data.input_ids[:-1]], is_stopped=[True]) for piece in pieces]


_TASKS = (
    Task("sentiment", 60, _encoder(SentimentEngine), aim_ms=0.1),
    Task("qa", 12, _encoder(QaEngine), aim_ms=None, context_words=100),
    Task("generation", 60, _decoder(GenerationEngine), aim_ms=0.2),
    Task("translation", 25, _decoder(TranslationEngine), aim_ms=0.2),
)

if __name__ == "__main__":
    main()
