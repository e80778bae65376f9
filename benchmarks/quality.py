"""How good the bundled models are, through the running system.

    python -m benchmarks.quality sentiment --data DIR [--limit N] [--model FOLDER] [--before FOLDER]

Starts `textmill up`, submits the held-out test set as one job, scores the downloaded
results and prints one JSON line. The splits are those of the recipes, so no row was
trained on. `--url` uses a server that is running already, with whatever models it has;
`--model FOLDER` measures other weights than the bundled ones. With `--before FOLDER` those
weights are measured first, on the same rows, and a table shows both.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.quality_qa import qa
from benchmarks.quality_sentiment import sentiment
from benchmarks.served import served
from recipes.books import read_books
from recipes.ngram import KneserNey, words_of
from recipes.tatoeba import read_pairs, references
from textmill.client import Textmill

Rows = list[dict[str, Any]]
Score = Callable[[Sequence[Mapping[str, Any]]], dict[str, float]]
_PROMPT_WORDS = 12


def translation(data: Path) -> tuple[Rows, Score]:
    """BLEU (sacrebleu) on held-out Tatoeba sentences, with every translation as a reference."""
    import sacrebleu

    known = references(read_pairs(data, "test"))
    sentences = sorted(known)

    def score(outputs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        done = sentences[: len(outputs)]
        width = max(len(known[sentence]) for sentence in done)
        # sacrebleu takes one list for each rank of reference; None where a sentence has fewer.
        ranks = [[dict(enumerate(known[s])).get(rank) for s in done] for rank in range(width)]
        texts = [out["text"] for out in outputs]
        return {
            "bleu": sacrebleu.corpus_bleu(texts, ranks).score,
            "bleu_one_reference": sacrebleu.corpus_bleu(texts, [[known[s][0] for s in done]]).score,
            "chrf": sacrebleu.corpus_chrf(texts, ranks).score,
        }

    return [{"text": sentence} for sentence in sentences], score


def generation(data: Path) -> tuple[Rows, Score]:
    """Continuations of held-out sentences, judged by a word 5-gram model of the training books.

    A perplexity needs the model's own probabilities, which no job returns: that figure is
    in the card, from the recipe. Here fluency is what an outside model finds likely.
    """
    words = [line.split() for book in read_books(data, "test") for line in book.splitlines()]
    opened = [" ".join(line[:_PROMPT_WORDS]) for line in words if len(line) >= 2 * _PROMPT_WORDS]
    random.Random(1).shuffle(opened)
    params = {"max_new_tokens": 40, "do_sample": True, "temperature": 0.8, "top_p": 0.95}

    def score(outputs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        judge = KneserNey(words_of("\n".join(read_books(data, "train"))))
        texts = [words_of(out["text"]) for out in outputs]
        total = sum(len(text) for text in texts)
        pairs = [pair for text in texts for pair in pairwise(text)]
        return {
            "words": total,
            "five_gram_perplexity_of_output": math.exp(
                -sum(judge.log_probability(text) for text in texts) / total
            ),
            "distinct_word_pairs": len(set(pairs)) / len(pairs),
        }

    return [{"text": text, "params": {**params, "seed": n}} for n, text in enumerate(opened)], score


_TASKS = {"sentiment": sentiment, "qa": qa, "translation": translation, "generation": generation}
_DEFAULT_LIMITS = {"generation": 300}


def main() -> int:
    """Runs one evaluation."""
    options = _options()
    if not data.is_there(options.data):
        return 2
    rows, score = _TASKS[options.task](options.data)
    rows = rows[: options.limit or _DEFAULT_LIMITS.get(options.task)]
    measured = []
    for model in ([options.before] if options.before else []) + [options.model]:
        with served({options.task: model}, url=options.url) as server:
            outputs = _outputs_of(server, options.task, rows)
        if outputs is None:
            return 1
        measured.append(score(outputs))
        named = {"evaluation": options.task, "model": model or "bundled", "documents": len(rows)}
        print(json.dumps({**named, **measured[-1]}), flush=True)
    if len(measured) == 2:
        print(_beside(*measured))
    return 0


def _outputs_of(server: Textmill, task: str, rows: Rows) -> list[Mapping[str, Any]] | None:
    """What came out for each row; None, with a word on standard error, where a document failed."""
    results = list(server.submit(rows, task=task).wait().results())
    failed = [result for result in results if result.output is None]
    if failed:
        sys.stderr.write(f"error: {len(failed)} of {len(rows)} documents have no output: {failed[0].error}\n")
        return None
    return [result.output for result in results if result.output is not None]


def _beside(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    """Both models' figures in a Markdown table."""
    lines = [f"| {name} | {before[name]:.4g} | {value:.4g} |" for name, value in now.items()]
    return "\n".join(("| | before | now |", "|---|---|---|", *lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("task", choices=sorted(_TASKS))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--limit", type=int, help="only the first N documents")
    parser.add_argument("--model", help="a folder or id instead of the bundled model")
    parser.add_argument("--before", help="a folder or id to measure first, for a table of both")
    parser.add_argument("--url", help="a running server instead of one of its own")
    options = parser.parse_args()
    if options.url and (options.before or options.model):
        parser.error("--url takes the models that the server has; leave out --before and --model")
    return options


if __name__ == "__main__":
    sys.exit(main())
