"""What of a text is translated, and what stands around it and comes back as it was sent.

Kept are line ends, indentation, tabs, list marks (`1.`, `a)`, `-`), emoji at the edges of a
sentence, and whatever has no letters or is an address. Pure policy: knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unicodedata import category

from models.tasks.translation.sentences import sentences

#: Nobody sees them, and no model has learnt them: where a word may break, and which way text runs.
_INVISIBLE = "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_WITHOUT_INVISIBLE = str.maketrans(dict.fromkeys(_INVISIBLE))
#: Emoji and dingbats; what newer versions of Unicode put there has no category yet. Not "®" or "°".
_SYMBOL_RANGES = ((0x2190, 0x2C00), (0x1F000, 0x1FB00))
_SYMBOLS = "".join(
    chr(code)
    for low, high in _SYMBOL_RANGES
    for code in range(low, high)
    if category(chr(code)) in ("So", "Cn")
)
#: Joiner, variation selectors, skin tones, keycap and the tags of flags belong to the emoji before them.
_PARTS = "\u200d\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
#: Nothing of it is given back: a repeat in a repeat would try 2^n ways through n emoji.
_ONE_EMOJI = f"(?:[0-9#*]\ufe0f?\u20e3|[{_SYMBOLS}][{_PARTS}]*+)"
_EMOJI = re.compile(f"{_ONE_EMOJI}++")
_EDGE = re.compile(rf"(?:[\s{_INVISIBLE}•‣⁃∙‧·]|{_ONE_EMOJI})*+")  # noqa: RUF001
_LIST_MARK = re.compile(
    r"""(?: \(? (?: \d{1,3} (?:\.\d{1,3})* | [^\W\d_] | [ivxIVX]{2,5} ) \)      # 1) (1) a) (iv)
          | \d{1,3} (?:\.\d{1,3})* \.                                             # 1. 2.3.
          | (?: [IVX]{2,5} | [ivx]{2,5} ) \.                                      # II. iv.
          | [a-z]\.(?=\s+[^\W\d_a-z])                                             # a. Then a capital
          | \[ [\ xX\d]{1,3} \]                                                   # [1] [x]
          | [-–—―]{1,3} | [*+\#>|=~]{1,6}                                         # bullets, headings, quotes
        ) (?=\s)
        | [–—―] (?=[^\W\d_]|[¿¡])                                                 # a dash of speech
        | [①-⓿]                                                                   # numbers in circles
    """,  # noqa: RUF001
    re.VERBOSE,
)
#: A capital that the cutter of sentences did not take for an initial numbers a list: "A. The milk is cold."
_LETTERED = re.compile(r"[A-Z]\.")
#: Between lines, and between the cells of a table.
_BREAK = re.compile("([\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+|(?<= )[|](?=[ \t\r\n]|$))")
#: So many characters before the end of a sentence are searched for emoji at a time.
_LONGEST_TAIL = 100
_EMOJI_OR_TAG = re.compile(rf"{_EMOJI.pattern}|</?[A-Za-z|][^<>\n]{{0,200}}>")
_OPENING = re.compile(r"<([A-Za-z][A-Za-z0-9-]*)[^<>\n]*>")
_ENDS = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.)\S+|[^\s@]+@[^\s@]+\.[^\s@]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a text; joined in order, the parts are the text."""

    text: str
    is_translated: bool = False

    @property
    def source(self) -> str:
        """What the model is given: without soft hyphens and other invisible characters."""
        return self.text.translate(_WITHOUT_INVISIBLE)


def segments(text: str, language: str, *, knows: Callable[[str], bool]) -> list[Segment]:
    """Cuts a text into sentences to translate and what is kept; nothing is lost between them.

    Args:
        text: of any length.
        language: of the text, as `sentences.base_language` names it.
        knows: whether the model has tokens for some emoji. Those inside a sentence that it does
            not know are kept, and cut the sentence.
    """
    found: list[Segment] = []
    kept: list[str] = []
    for is_translated, part in _parts(text, language, knows):
        if not is_translated:
            kept.append(part)
            continue
        if gap := "".join(kept):
            found.append(Segment(gap))
        kept.clear()
        found.append(Segment(part, is_translated=True))
    if gap := "".join(kept):
        found.append(Segment(gap))
    return found


def has_letters(text: str) -> bool:
    """Whether there is anything to translate."""
    return any(map(str.isalpha, text))


_Part = tuple[bool, str]  # whether it is translated, and the text


def _parts(text: str, language: str, knows: Callable[[str], bool]) -> Iterator[_Part]:
    for cell in _BREAK.split(text):
        if not has_letters(cell):
            yield False, cell
            continue
        start = _lead(cell)
        yield False, cell[:start]
        for number, sentence in enumerate(sentences(cell[start:], language)):
            for is_kept, piece in _cut(sentence, knows, is_first=number == 0):
                yield from [(False, piece)] if is_kept else _peeled(piece)


def _peeled(piece: str) -> Iterator[_Part]:
    """What stands around the words of a sentence, and the words."""
    start, stop = _lead(piece), _tail(piece)
    core = piece[start:stop]
    if not has_letters(core) or _LETTERED.fullmatch(core) or all(map(_ADDRESS.fullmatch, core.split())):
        yield False, piece
        return
    yield False, piece[:start]
    yield True, core
    yield False, piece[stop:]


def _lead(text: str) -> int:
    """Where the words begin: after white space, list marks and emoji."""
    place = _end(_EDGE, text, 0)
    while mark := _LIST_MARK.match(text, place):
        place = _end(_EDGE, text, mark.end())
    return place


def _tail(text: str) -> int:
    """Where the words end: before white space and emoji."""
    place = len(text)
    while True:
        while place and (text[place - 1] in _INVISIBLE or text[place - 1].isspace()):
            place -= 1
        # No emoji ends so, and to look for one costs more than the tokens of a sentence.
        if not place or text[place - 1].isascii() or text[place - 1].isalpha():
            return place
        emoji = _EMOJI.finditer(text, max(0, place - _LONGEST_TAIL), place)
        last = next((found for found in emoji if _EDGE.fullmatch(text, found.start(), place)), None)
        if last is None:
            return place
        place = last.start()


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _cut(sentence: str, knows: Callable[[str], bool], *, is_first: bool) -> Iterator[tuple[bool, str]]:
    """Parts of a sentence, and whether each is kept.

    Kept are emoji that the model has no tokens for, emoji and tags (`</p>`) behind the end of a sentence, and
    tags in front of one that stand around all of it.
    """
    start, is_between = 0, not is_first
    if "<" in sentence or not sentence.isascii():
        for found in _EMOJI_OR_TAG.finditer(sentence):
            before = sentence[start : found.start()].rstrip()
            if before:
                is_between = before.endswith(_ENDS)
            else:
                is_between = _is_in_front(found.group(), sentence[found.end() :], otherwise=is_between)
            if is_between or not (found.group().startswith("<") or knows(found.group())):
                yield False, sentence[start : found.start()]
                yield True, found.group()
                start = found.end()
    yield False, sentence[start:]


def _is_in_front(found: str, rest: str, *, otherwise: bool) -> bool:
    """Whether what begins a sentence is no part of it: `</p>`, or `<p>` around all of it."""
    if found.startswith("</"):
        return True
    opened = _OPENING.match(found)
    if opened is None:
        return otherwise
    inside, closing, _ = rest.partition(f"</{opened[1]}")
    return not closing or inside.rstrip().endswith(_ENDS)
