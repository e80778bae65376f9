"""How fast sentiment is, beside a transformers `pipeline` in batches of 16.

    python -m benchmarks.sentiment [--documents 1000]

A DistilBERT of the usual size (66 M) with random weights, loaded from one folder by both.
Lengths are log-normal, most texts short and a few long, in random order.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers as hf

from benchmarks.workload import drain
from models.loading.device import available_cores, prepare_device
from models.loading.registry import load_model
from models.records import DocumentInput, ModelSpec
from models.tasks.sentiment import SentimentEngine

_BATCH = 16
_WORDS = (
    *("the", "film", "was", "not", "as", "good", "a", "story", "and", "its", "people"),
    *("are", "very", "dull", "but", "we", "liked", "music", "of", "it"),
)
_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 40, 0.9, 400


def main() -> None:
    """Runs the pipeline in both precisions and the engine, and prints a table and a JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sentiment", description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    texts = make_texts(parser.parse_args().documents)
    device = prepare_device("auto")
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder))
        engine = SentimentEngine(load_model(ModelSpec(name="s", task="sentiment", ref=folder), device))
        dtype = engine.loaded.dtype
        speeds = {
            f"pipeline, batch {_BATCH}, float32": by_pipeline(folder, texts, "float32"),
            f"pipeline, batch {_BATCH}, {dtype}": by_pipeline(folder, texts, dtype),
            f"textmill, {dtype}": by_engine(engine, texts),
        }
    print(f"\nsentiment: DistilBERT's size, {device.title}, {available_cores()} cores, {len(texts)} texts")
    for system, documents_per_second in speeds.items():
        print(f"{system:<32} {documents_per_second:>8.1f} documents/s")
    *baselines, last = speeds.values()
    facts = engine.describe()
    waste = 1 - facts["useful_tokens"] / facts["padded_tokens"]
    ratios = " and ".join(f"{last / baseline:.1f}" for baseline in baselines)
    print(f"textmill is {ratios} times as fast; {waste:.0%} of what it computes is padding")
    print(json.dumps({"benchmark": "sentiment", "documents_per_second": speeds, "padding_waste": waste}))


def make_texts(count: int) -> list[str]:
    """Texts of skewed lengths."""
    draw = random.Random(0)
    drawn = (draw.lognormvariate(math.log(_MEDIAN_WORDS), _SPREAD) for _ in range(count))
    lengths = [min(_MOST_WORDS, max(3, int(length))) for length in drawn]
    return [" ".join(draw.choices(_WORDS, k=length)) for length in lengths]


def save_model(folder: Path) -> None:
    """Random weights in DistilBERT's shape, with the bundled model's tokenizer."""
    torch.manual_seed(0)
    hf.DistilBertForSequenceClassification(hf.DistilBertConfig()).save_pretrained(folder)
    bundled = Path(__file__).parents[1] / "models" / "bundled" / "sentiment"
    tokenizer = hf.AutoTokenizer.from_pretrained(bundled)
    tokenizer.model_max_length = hf.DistilBertConfig().max_position_embeddings
    tokenizer.save_pretrained(folder)


def by_pipeline(folder: str, texts: Sequence[str], dtype: str) -> float:
    """Documents per second, in the order they come."""
    classify = hf.pipeline("text-classification", model=folder, dtype=getattr(torch, dtype), truncation=True)
    classify(list(texts[:_BATCH]), batch_size=_BATCH)
    begun = time.perf_counter()
    classify(list(texts), batch_size=_BATCH)
    return len(texts) / (time.perf_counter() - begun)


def by_engine(engine: SentimentEngine, texts: Sequence[str]) -> float:
    """Documents per second, all submitted at once."""
    documents = [DocumentInput(key=key, text=text) for key, text in enumerate(texts)]
    drain(engine, documents[:_BATCH])
    begun = time.perf_counter()
    drain(engine, documents)
    return len(texts) / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
