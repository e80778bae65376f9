"""The bundled question-answering model's material as token ids: from the raw data, or from a packed file of it.

A packed folder is what a machine without the data sets trains from: `qa.npz.xz`,
`qa-dev.json.xz`, `qa-test.json.xz`, the tokenizer in `qa/`, and the encoder
(`recipes/start.py`).
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, PreTrainedTokenizerBase

from recipes.encoder import encoder_folder, prune_tokenizer
from recipes.qa_answers import windows_of
from recipes.qa_fit import Windows
from recipes.qa_rows import Sources, calibration_questions, test_questions, training_questions
from recipes.questions import Question
from recipes.ragged import load_arrays, load_rows, save_rows
from recipes.start import load_start

_AT_ONCE = 1000


def pack(data: Path, folder: Path, *, vocabulary: int, seed: int, limit: int | None = None) -> list[int]:
    """Writes tokenizer, windows and the questions to calibrate and test with (`limit`: of a test set at most).

    Returns:
        For each piece of the tokenizer its id in the encoder's.
    """
    questions = sorted(training_questions(data, seed=seed), key=lambda q: q.context)  # packs well
    texts = [text for q in questions for text in (q.text, q.context)]
    tokenizer, old_ids = prune_tokenizer(encoder_folder(), texts, size=vocabulary, out=folder / "qa")
    rows, spans = training_windows(tokenizer, questions)
    save_rows(folder / "qa.npz.xz", {"windows": rows}, spans=np.array(spans, np.uint16))
    _save_questions(folder / "qa-dev.json.xz", {"dev": calibration_questions(data)})
    tests = {name: part[:limit] for name, part in test_questions(data).items()}
    _save_questions(folder / "qa-test.json.xz", tests)
    return old_ids


def unpack(
    folder: Path, device: torch.device, *, seed: int
) -> tuple[Any, PreTrainedTokenizerBase, Windows, list[Question], Sources]:
    """The encoder with its new head, its tokenizer, the windows to train on, dev questions, and the tests."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "qa")
    torch.manual_seed(seed)
    # Random numbers for every attention weight took half of each step.
    model = load_start(folder, "qa", AutoModelForQuestionAnswering, attention_probs_dropout_prob=0.0)
    packed = load_arrays(folder / "qa.npz.xz")
    windows = Windows(
        texts=load_rows(packed, "windows", device),
        spans=torch.from_numpy(packed["spans"].astype(np.int64)).to(device),
        separator_id=tokenizer.sep_token_id,
    )
    dev, tests = (_load_questions(folder / f"qa-{name}.json.xz") for name in ("dev", "test"))
    return model.to(device), tokenizer, windows, dev["dev"], tests


def training_windows(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Each question with each window of its context, and where the answer lies (0, 0: not here)."""
    rows: list[list[int]] = []
    spans: list[tuple[int, int]] = []
    for start in range(0, len(questions), _AT_ONCE):
        part = questions[start : start + _AT_ONCE]
        encoded = windows_of(tokenizer, part)
        for i, owner in enumerate(encoded["overflow_to_sample_mapping"]):
            rows.append(encoded["input_ids"][i])
            spans.append(token_span(encoded.sequence_ids(i), encoded["offset_mapping"][i], part[owner]))
    return rows, spans


def token_span(
    parts: Sequence[int | None], offsets: Sequence[tuple[int, int]], question: Question
) -> tuple[int, int]:
    """First and last token of the answer in one window; 0, 0 where it is not there, or not whole."""
    if question.start < 0:
        return 0, 0
    stop = question.start + len(question.answers[0])
    inside = [
        i for i, (part, (a, b)) in enumerate(zip(parts, offsets, strict=True))
        if part == 1 and b > question.start and a < stop
    ]  # fmt: skip
    is_whole = inside and offsets[inside[0]][0] <= question.start and offsets[inside[-1]][1] >= stop
    return (inside[0], inside[-1]) if is_whole else (0, 0)


def _save_questions(path: Path, sources: Sources) -> None:
    content = {name: [asdict(question) for question in part] for name, part in sources.items()}
    path.write_bytes(lzma.compress(json.dumps(content, ensure_ascii=False).encode()))


def _load_questions(path: Path) -> Sources:
    content = json.loads(lzma.decompress(path.read_bytes()))
    return {
        name: [Question(**{**row, "answers": tuple(row["answers"])}) for row in part]
        for name, part in content.items()
    }
