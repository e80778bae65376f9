"""The sentences of a line, found by a library that knows the abbreviations of many languages.

Decision 6 says which and why. It is given windows of bounded length: on some texts (a
sentence of every other character) its time grows with the square of what it is given.
"""

from __future__ import annotations

import re
from functools import cache

import langcodes
from sentencex import segment

#: Given to the library at a time; as long as no sentence ends in a window, twice as much.
_WINDOW_CHARACTERS = 1000
#: About two thousand tokens: what has no end within it is cut at a space.
_LONGEST_CHARACTERS = 8000
_DEFAULT_LANGUAGE = "en"
#: "M. Dupont", "J. García": what the library knows for English alone.
_ENDS_WITH_INITIAL = re.compile(r"(?:^|[\s(\[«„“\"'’-])[^\W\d_]\.\s*$")  # noqa: RUF001


def sentences(line: str, language: str) -> list[str]:
    """The sentences of a line, each with the white space after it; together they are the line.

    Args:
        line: a text without line ends.
        language: as `base_language` names it.
    """
    found: list[str] = []
    start, window = 0, _WINDOW_CHARACTERS
    while start < len(line):
        text = line[start : start + window]
        pieces = _segment(text, language)
        if start + window < len(line):  # the last one may go on behind the window
            if len(pieces) == 1 and window < _LONGEST_CHARACTERS:
                window *= 2
                continue
            pieces = pieces[:-1] or [_up_to_a_space(text)]
        found += pieces
        start += sum(map(len, pieces))
        window = _WINDOW_CHARACTERS
    return found


@cache
def base_language(code: str | None) -> str:
    """The language of a model's own code, as ISO 639 writes it: `fra_Latn`, `fr_XX` and `fra` are `fr`.

    A code that is none ("python") stands for itself; None is English.
    """
    if not code:
        return _DEFAULT_LANGUAGE
    code = code.strip("_<>")
    try:
        return str(langcodes.Language.get(code).prefer_macrolanguage().language)
    except ValueError:
        return code


def _segment(text: str, language: str) -> list[str]:
    pieces: list[str] = segment(language, text)  # an unknown language is cut by the rules of English
    if "".join(pieces) != text:  # never seen on a single line; nothing may get lost
        return [text]
    if language == _DEFAULT_LANGUAGE:
        return pieces
    joined: list[str] = []
    for piece in pieces:
        if joined and _is_initial(joined[-1]):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _is_initial(piece: str) -> bool:
    found = _ENDS_WITH_INITIAL.search(piece, max(0, len(piece.rstrip()) - 4))
    return found is not None and piece.rstrip()[-2].isupper()


def _up_to_a_space(text: str) -> str:
    words = text.rsplit(None, 1)
    return text[: -len(words[1])] if len(words) > 1 else text
