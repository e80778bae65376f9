"""Prose to learn from: ChiLit's children's books and FairytaleQA's tales (public domain), split by book."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from pathlib import Path

from recipes.splits import Split, split_of

#: Empire and adventure titles whose attitudes we leave out, as the collection's notes suggest.
_EXCLUDED = frozenset(
    {
        "quatermain",
        "solomons",
        "coral",
        "five",
        "clive",
        "tombrown",
        "daisy",
        "canada",
        "settlers",
        "masterman",
        "pan",
    }
)
#: Held out whole: for perplexity, never for training.
_TEST_BOOKS = frozenset({"alice", "jungle", "railway", "beauty"})
_DEV_BOOKS = frozenset({"amulet"})


def read_books(data: Path, split: Split) -> list[str]:
    """One unwrapped text a book."""
    books = []
    with tarfile.open(data / "chilit" / "ChiLit.tar.gz") as archive:
        for member in archive.getmembers():
            name = Path(member.name).stem
            file = archive.extractfile(member) if member.isfile() else None
            if file and name not in _EXCLUDED and _book_split(name) == split:
                books.append(unwrap(file.read().decode("utf-8", errors="replace")))
    return books + _tales(data, split)


def unwrap(text: str) -> str:
    """Joins hard-wrapped lines into paragraphs; drops title and author, the first two lines."""
    body = "\n".join(text.replace("\r", "").split("\n")[2:])
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n\s*\n", body))
    return "\n".join(_plain_quotes(p) for p in paragraphs if p)


def _plain_quotes(text: str) -> str:
    return text.replace("\u2019", "'").replace("\u2018", "'").replace("\u201c", '"').replace("\u201d", '"')


def _book_split(name: str) -> Split:
    return "test" if name in _TEST_BOOKS else "dev" if name in _DEV_BOOKS else "train"


def _tales(data: Path, split: Split) -> list[str]:
    with gzip.open(data / "fairytaleqa" / "stories.jsonl.gz", "rt", encoding="utf-8") as file:
        stories = [json.loads(line) for line in file]
    return [
        _plain_quotes("\n".join(" ".join(p.split()) for p in s["text"].split("\n") if p.strip()))
        for s in stories
        if split_of(s["title"], dev_share=0.02, test_share=0.0) == split
    ]
