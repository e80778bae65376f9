"""Reviews of films and goods (seven corpora of nltk_data, CC BY 4.0 each), with what is set aside.

Set aside whole, before any training: the second set of product reviews (nine products of
other kinds), and the last 400 of the 2,000 long reviews. A tenth of the film sentences
calibrates.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from recipes.rated import NEUTRAL, Rated
from recipes.splits import Split, split_of

_PARAGRAPH_WORDS = 120
_PARAGRAPHS_APART = 3  # all of them would be most of what an epoch reads
_FIRST_WORDS = 300  # nearly as much as the encoder takes
_LAST_WORDS = 60  # where the verdict stands
_DOUBT = 0.12  # a window may hold only plot, or the one good word of a bad review
_FIRST_TEST_REVIEW = 800  # of 1,000 on either side; they are numbered across authors and films
_TAG = re.compile(r"\[[tups+\-0-9c]+\]|<[^>]*>")
_OPINION = re.compile(r"\[([+-])([0-9])\]")


def film_sentences(data: Path, split: Split) -> list[Rated]:
    """Sentences of film reviews (Pang and Lee, 2005); none of them is a test row."""
    rows = []
    for name, positive in (("neg", 0.0), ("pos", 1.0)):
        lines = _lines(data, "sentence_polarity", f"rt-polarity.{name}")
        rows += [
            Rated(line, positive) for line in lines if split_of(line, dev_share=0.1, test_share=0.0) == split
        ]
    return rows


def pros_and_cons(data: Path) -> list[Rated]:
    """What buyers list as pros and as cons (Ganapathibhotla and Liu, 2008)."""
    return [
        Rated(_TAG.sub("", line).strip(), positive)
        for name, positive in (("Cons", 0.0), ("Pros", 1.0))
        for line in _lines(data, "pros_cons", f"Integrated{name}.txt")
        if _TAG.sub("", line).strip()
    ]


def product_sentences(data: Path, part: int) -> list[Rated]:
    """Sentences on goods (Hu and Liu, 2004; Ding et al., 2008): positive, negative, or without an opinion.

    Part 1 is trained on, part 2 is set aside. A sentence whose opinions differ is left out.
    """
    rows = []
    for name in _names(data, f"product_reviews_{part}"):
        for line in _lines(data, f"product_reviews_{part}", name):
            marks, found, sentence = line.partition("##")
            text = _TAG.sub("", sentence).strip()
            signs = {sign for sign, _ in _OPINION.findall(marks)}
            if found and text and len(signs) < 2:
                rows.append(Rated(text, {"+": 1.0, "-": 0.0}[signs.pop()] if signs else NEUTRAL))
    return rows


def long_reviews(data: Path, split: Split) -> list[Rated]:
    """Whole film reviews of some 650 words (Pang and Lee, 2004)."""
    rows = []
    for name in _names(data, "movie_reviews"):
        is_test = int(name.split("/")[-1][2:5]) >= _FIRST_TEST_REVIEW
        if is_test == (split == "test") and split != "dev":
            text = " ".join(_lines(data, "movie_reviews", name))
            rows.append(Rated(text, float(name.startswith("pos"))))
    return rows


def windows(reviews: list[Rated]) -> list[Rated]:
    """Of every review its beginning, a third of its paragraphs, and the end, where the verdict stands."""
    rows = []
    for review in reviews:
        words = review.text.split()
        doubtful = _DOUBT + (1 - 2 * _DOUBT) * review.positive
        starts = range(0, len(words), _PARAGRAPH_WORDS * _PARAGRAPHS_APART)
        rows += [Rated(" ".join(words[start : start + _PARAGRAPH_WORDS]), doubtful) for start in starts]
        rows.append(Rated(" ".join(words[-_LAST_WORDS:]), review.positive))
        rows.append(Rated(" ".join(words[:_FIRST_WORDS]), review.positive))
    return rows


def plots(data: Path) -> list[Rated]:
    """Sentences that tell what happens in a film and judge nothing (Pang and Lee, 2004)."""
    return [Rated(line, NEUTRAL) for line in _lines(data, "subjectivity", "plot.tok.gt9.5000")]


def opinion_words(data: Path) -> list[Rated]:
    """Words that praise and words that blame (Hu and Liu's lexicon)."""
    return [
        Rated(word, positive)
        for name, positive in (("negative", 0.0), ("positive", 1.0))
        for word in _lines(data, "opinion_lexicon", f"{name}-words.txt")
        if not word.startswith(";")
    ]


def _names(data: Path, corpus: str) -> list[str]:
    archive = _archive(data / "nltk-sentiment" / f"{corpus}.zip")
    names = [name.removeprefix(f"{corpus}/") for name in archive.namelist()]
    return sorted(name for name in names if name.endswith(".txt") and "README" not in name)


def _lines(data: Path, corpus: str, name: str) -> Iterator[str]:
    archive = _archive(data / "nltk-sentiment" / f"{corpus}.zip")
    content = archive.read(f"{corpus}/{name}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    yield from (line.strip() for line in text.splitlines() if line.strip())


@lru_cache(maxsize=8)
def _archive(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
