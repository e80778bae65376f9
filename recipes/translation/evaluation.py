"""What a translation model makes of sentences that no training saw."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import sacrebleu
import torch
from transformers import MarianMTModel

from recipes.translation.corpora import digits_of

_WORD = re.compile(r"\w+")
_REPEATED_WORDS = 3
#: So many times as many words as the source, and a few more: nobody translates so.
_MOST_TIMES, _FEW_WORDS = 2, 5


def scores_of(
    model: MarianMTModel,
    tokenizer: Any,
    sets: Mapping[str, Mapping[str, Sequence[str]]],
    *,
    most: int,
    batch: int,
) -> dict[str, dict[str, float]]:
    """What `scores` says of each set; of a large one, every n-th sentence alone.

    Args:
        model: with its own decoding defaults.
        tokenizer: of the model.
        sets: by name, translations of each source.
        most: sentences of a set, about.
        batch: sentences that are translated together.
    """
    found: dict[str, dict[str, float]] = {}
    for name, wanted in sets.items():
        chosen = dict(list(wanted.items())[:: max(1, len(wanted) // most)])
        found[name] = scores(translate(model, tokenizer, list(chosen), batch=batch), chosen)
        print(f"{name:8}" + "".join(f"  {key} {value:.4g}" for key, value in found[name].items()), flush=True)
    return found


def scores(outputs: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """BLEU and chrF with all translations as references, and shares of 100 of what readers notice first.

    Args:
        outputs: one for each source, in their order.
        wanted: translations of each source.

    Returns:
        `bleu`, `chrf`; `runaways`: see `is_runaway`; `numbers_kept`: among sources with digits those
        whose translation has the same numbers.
    """
    sources = list(wanted)
    depth = max(map(len, wanted.values()))
    # sacrebleu takes one list for each rank of reference; None where a sentence has fewer.
    ranks: Any = [[dict(enumerate(wanted[source])).get(rank) for source in sources] for rank in range(depth)]
    both = list(zip(sources, outputs, strict=True))
    numbered = [digits_of(source) == digits_of(output) for source, output in both if digits_of(source)]
    return {
        "sentences": len(sources),
        "bleu": sacrebleu.corpus_bleu(outputs, ranks).score,
        "chrf": sacrebleu.corpus_chrf(outputs, ranks).score,
        "runaways": 100 * sum(is_runaway(*pair) for pair in both) / len(both),
        "with_numbers": len(numbered),
        "numbers_kept": 100 * sum(numbered) / max(1, len(numbered)),
    }


def is_runaway(source: str, output: str) -> bool:
    """Whether three words come twice, oftener than in the source, or there are more than twice as many words."""
    words = [_WORD.findall(text.lower()) for text in (source, output)]
    repeats = [max(_runs(side).values(), default=1) for side in words]
    return repeats[1] > max(1, repeats[0]) or len(words[1]) > _MOST_TIMES * len(words[0]) + _FEW_WORDS


def translate(
    model: MarianMTModel, tokenizer: Any, sources: Sequence[str], *, batch: int = 64, **decoding: Any
) -> list[str]:
    """By transformers' own `generate`, in batches of like length, in the order of the sources."""
    order = sorted(range(len(sources)), key=lambda n: len(sources[n]))
    outputs = [""] * len(sources)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        texts = tokenizer([sources[row] for row in rows], padding=True, truncation=True, return_tensors="pt")
        limit = min(256, 3 * texts["input_ids"].shape[1] + 16)
        with torch.inference_mode():
            ids = model.generate(**texts.to(model.device), **{"max_new_tokens": limit, **decoding})
        for row, text in zip(rows, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            outputs[row] = text
    return outputs


def _runs(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    starts = range(len(words) - _REPEATED_WORDS + 1)
    return Counter(tuple(words[n : n + _REPEATED_WORDS]) for n in starts)
