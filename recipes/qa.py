"""Recipe: English extractive question answering with a no-answer score.

    python -m recipes.qa --data DIR --out models/bundled/qa

MiniLM is fine-tuned on the training articles of SQuAD's dev sets (v1.1 and the
unanswerable questions of v2.0), FairytaleQA and QAMR. Whole articles are held out.
The position of [CLS] stands for "no answer", as in BERT's SQuAD 2.0 recipe.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForQuestionAnswering, PreTrainedTokenizerBase

from recipes.batching import BucketedBatches
from recipes.card import save_model, write_card
from recipes.encoder import encoder_folder, prune_embeddings, prune_tokenizer
from recipes.questions import Question, read_fairytales, read_qamr, read_squad, read_unanswerable
from recipes.squad_score import exact, f1
from recipes.training import Batch, Schedule, train

_MAX_TOKENS = 384
_STRIDE_TOKENS = 128
_MAX_ANSWER_TOKENS = 30


def main() -> None:
    """Trains, evaluates, and writes the folder."""
    options = _options()
    rows = (
        read_squad(options.data, "train")
        + read_unanswerable(options.data, "train")
        + read_fairytales(options.data, "train")
        + read_qamr(options.data)
    )
    texts = (t for q in rows for t in (q.text, q.context))
    tokenizer, old_ids = prune_tokenizer(encoder_folder(), texts, size=options.vocabulary, out=options.out)
    model = AutoModelForQuestionAnswering.from_pretrained(
        encoder_folder(), dtype=torch.float32, attention_probs_dropout_prob=0.0
    )  # random numbers for every attention weight took half of each step
    prune_embeddings(model, old_ids)
    windows = [w for q in rows for w in training_windows(tokenizer, q)]
    print(f"{len(rows)} questions, {len(windows)} windows", flush=True)
    _fit(model, tokenizer, windows, options)
    figures = evaluate(model, tokenizer, options.data)
    save_model(model, tokenizer, options.out)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    write_card(options.out, "qa", figures)
    print(json.dumps(figures, indent=1))


def training_windows(tokenizer: PreTrainedTokenizerBase, question: Question) -> list[dict[str, Any]]:
    """The question with each window of its context, and where the answer lies (0, 0: not here)."""
    encoded = tokenizer(
        question.text, question.context, truncation="only_second", max_length=_MAX_TOKENS,
        stride=_STRIDE_TOKENS, return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    windows = []
    for i, ids in enumerate(encoded["input_ids"]):
        start, end = _token_span(encoded.sequence_ids(i), encoded["offset_mapping"][i], question)
        types = encoded["token_type_ids"][i]
        windows.append({"input_ids": ids, "token_type_ids": types, "start": start, "end": end})
    return windows


def evaluate(model: nn.Module, tokenizer: PreTrainedTokenizerBase, data: Path) -> dict[str, float]:
    """EM and F1 on held-out articles and tales, and how well silence is told from speech."""
    squad, tales = read_squad(data, "test"), read_fairytales(data, "test")
    silent = read_unanswerable(data, "test")
    answers = {name: predict(model, tokenizer, part) for name, part in
               (("squad", squad), ("tales", tales), ("silent", silent))}  # fmt: skip
    figures: dict[str, float] = {"test_questions": len(squad), "tale_questions": len(tales)}
    for name, part in (("squad", squad), ("tales", tales)):
        pairs = [(a, q.answers) for (a, _), q in zip(answers[name], part, strict=True)]
        figures[f"{name}_f1"] = 100 * sum(f1(a, r) for a, r in pairs) / len(pairs)
        figures[f"{name}_exact"] = 100 * sum(exact(a, r) for a, r in pairs) / len(pairs)
    figures["baseline_f1"] = 100 * sum(f1(_first_sentence(q.context), q.answers) for q in squad) / len(squad)
    figures["no_answer_auc"] = _auc([m for _, m in answers["silent"]], [m for _, m in answers["squad"]])
    return figures


@torch.inference_mode()
def predict(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, questions: list[Question]
) -> list[tuple[str, float]]:
    """The best span of each question, and by how much "no answer" beats it (logits)."""
    found = []
    for question in questions:
        encoded = tokenizer(
            question.text, question.context, truncation="only_second", max_length=_MAX_TOKENS,
            stride=_STRIDE_TOKENS, return_overflowing_tokens=True, return_offsets_mapping=True,
            padding=True, return_tensors="pt",
        )  # fmt: skip
        inputs = {k: encoded[k] for k in ("input_ids", "attention_mask", "token_type_ids")}
        scores = model(**inputs)
        best, text = -1e8, ""
        null = float((scores.start_logits[:, 0] + scores.end_logits[:, 0]).min())
        for i in range(len(inputs["input_ids"])):
            outside = torch.tensor([s != 1 for s in encoded.sequence_ids(i)])
            start = scores.start_logits[i].masked_fill(outside, -1e9)
            end = scores.end_logits[i].masked_fill(outside, -1e9)
            pairs = start[:, None] + end[None, :]  # (tokens, tokens): every first with every last
            allowed = torch.ones_like(pairs, dtype=torch.bool).triu().tril(_MAX_ANSWER_TOKENS - 1)
            pairs = pairs.masked_fill(~allowed, -2e9)
            flat = int(pairs.argmax())
            if float(pairs.flatten()[flat]) > best:
                best = float(pairs.flatten()[flat])
                offsets = encoded["offset_mapping"][i]
                first, last = divmod(flat, pairs.shape[1])
                text = question.context[int(offsets[first][0]) : int(offsets[last][1])]
        found.append((text, null - best))
    return found


def _auc(positive: list[float], negative: list[float]) -> float:
    scored = sorted([(v, 1) for v in positive] + [(v, 0) for v in negative])
    rank_sum = sum(rank for rank, (_, is_positive) in enumerate(scored, 1) if is_positive)
    return (rank_sum - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative))


def _first_sentence(context: str) -> str:
    return context.split(". ")[0]


def _token_span(
    parts: list[int | None], offsets: list[tuple[int, int]], question: Question
) -> tuple[int, int]:
    if question.start < 0:
        return 0, 0
    stop = question.start + len(question.answers[0])
    inside = [
        i for i, (part, (a, b)) in enumerate(zip(parts, offsets, strict=True))
        if part == 1 and b > question.start and a < stop
    ]  # fmt: skip
    is_whole = inside and offsets[inside[0]][0] <= question.start and offsets[inside[-1]][1] >= stop
    return (inside[0], inside[-1]) if is_whole else (0, 0)


def _fit(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, Any]], options: Any
) -> None:
    batches = BucketedBatches([len(r["input_ids"]) for r in rows], max_tokens=6144, seed=options.seed)
    schedule = Schedule(
        steps=int(options.epochs * batches.steps_per_epoch),
        learning_rate=2e-4,
        warmup_steps=150,
        seed=options.seed,
    )

    def batch_at(step: int) -> Batch:
        chosen = [rows[i] for i in batches.at(step)]
        padded = tokenizer.pad(
            [{k: r[k] for k in ("input_ids", "token_type_ids")} for r in chosen], return_tensors="pt"
        )
        spans = torch.tensor([[r["start"], r["end"]] for r in chosen])
        return {**padded, "start_positions": spans[:, 0], "end_positions": spans[:, 1]}

    train(
        model, batch_at, lambda network, batch: network(**batch).loss, schedule, checkpoint=options.checkpoint
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with squad-dev/, fairytaleqa/, qamr/"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--vocabulary", type=int, default=6500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="resume from and save to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
