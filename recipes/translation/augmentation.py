"""Other forms of the pairs at hand, so that what Tatoeba hardly shows is learnt too.

Numbers and names are exchanged on both sides, sentences joined, addresses and mark-up put around them,
capitals, contractions and quotation marks varied; what has nothing to translate comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random

from recipes.translation import slots

Pair = tuple[str, str]  # English, German

#: Rows made beside the pairs, as shares of their number.
_JOINED_SHARE, _PHRASE_SHARE, _COPY_SHARE = 0.2, 0.1, 0.01
_LONGEST_CHARACTERS = 300
_RENAMED_SHARE, _RENUMBERED_SHARE = 0.4, 0.7
#: The names that a fifth of Tatoeba's sentences has, and whose names may stand for them.
_PEOPLE = {"Tom": "men", "Mary": "women"}
_NUMBER = re.compile(r"(?<![\d.,:/-])\d{1,6}(?![\d:/-]|[.,]\d)")
_CONTRACTIONS = {
    "I'm": "I am", "you're": "you are", "he's": "he is", "she's": "she is", "it's": "it is", "we're": "we are",
    "they're": "they are", "that's": "that is", "don't": "do not", "doesn't": "does not", "didn't": "did not",
    "isn't": "is not", "aren't": "are not", "wasn't": "was not", "weren't": "were not", "can't": "cannot",
    "couldn't": "could not", "won't": "will not", "wouldn't": "would not", "shouldn't": "should not",
    "haven't": "have not", "hasn't": "has not", "I've": "I have", "we've": "we have", "they've": "they have",
    "I'll": "I will", "you'll": "you will", "he'll": "he will", "she'll": "she will", "we'll": "we will",
    "I'd like": "I would like", "let's": "let us",
}  # fmt: skip
_CONTRACTED = re.compile(rf"\b(?:{'|'.join(_CONTRACTIONS)})(?![\w'])", re.IGNORECASE)
_AMBIGUOUS = re.compile(r"\b(?:he's|she's|it's|that's) (?:been|got|gone|had|\w+ed)\b", re.IGNORECASE)
#: First words that are written small inside a sentence.
_SMALL = {
    "en": frozenset({"He", "She", "It", "We", "You", "They", "The", "A", "An", "This", "That", "These", "There", "My",
                     "His", "Her", "Our", "Your", "Their"}),
    "de": frozenset({"Ich", "Du", "Er", "Es", "Wir", "Ihr", "Das", "Der", "Die", "Ein", "Eine", "Dies", "Dieser",
                     "Diese", "Mein", "Meine", "Sein", "Seine", "Unser"}),
}  # fmt: skip
_LINKS = ((", and ", ", und "), (", but ", ", aber "), ("; ", "; "), (" - ", " - "), (", or ", ", oder "))


def augmented(pairs: Sequence[Pair], random: Random) -> Iterator[Pair]:
    """Each pair once, mostly changed a little, and rows of other kinds beside them."""
    for pair in pairs:
        yield varied(exchanged(pair, random), random)
    for _ in range(int(_JOINED_SHARE * len(pairs))):
        yield joined(pairs, random)
    for _ in range(int(_PHRASE_SHARE * len(pairs))):
        yield _phrase(pairs, random)
    for _ in range(int(_COPY_SHARE * len(pairs))):
        line = random.choice((slots.without_letters, slots.without_letters, slots.address))(random)
        yield line, line


def exchanged(pair: Pair, random: Random) -> Pair:
    """Other names and numbers, the same on both sides."""
    english, german = pair
    for name, kind in _PEOPLE.items():
        if random.random() < _RENAMED_SHARE and name in english and name in german:
            other = slots.first_name(random, kind)
            pattern = re.compile(rf"\b{name}(?=s?\b)")  # "Tom's", and "Toms" in German
            english, german = pattern.sub(other, english), pattern.sub(other, german)
    numbers = _NUMBER.findall(english)
    if numbers and random.random() < _RENUMBERED_SHARE and sorted(numbers) == sorted(_NUMBER.findall(german)):
        others = {number: slots.number_like(number, random) for number in numbers if int(number) > 1}
        english, german = (
            _NUMBER.sub(lambda found: others.get(found[0], found[0]), text) for text in (english, german)
        )
    return english, german


def joined(pairs: Sequence[Pair], random: Random) -> Pair:
    """Two to five pairs one behind the other, or two main clauses as one sentence."""
    if random.random() < 0.4:
        first, second = (exchanged(random.choice(pairs), random) for _ in range(2))
        if all(text.endswith(".") for text in (*first, *second)):
            link = random.choice(_LINKS)
            return (
                first[0][:-1] + link[0] + _inside(second[0], "en"),
                first[1][:-1] + link[1] + _inside(second[1], "de"),
            )
    chosen = [exchanged(random.choice(pairs), random) for _ in range(random.randint(2, 5))]
    while len(chosen) > 1 and sum(len(english) for english, _ in chosen) > _LONGEST_CHARACTERS:
        chosen.pop()
    return " ".join(english for english, _ in chosen), " ".join(german for _, german in chosen)


def varied(pair: Pair, random: Random) -> Pair:
    """At most one change of form; most pairs stay as they are."""
    point = random.random()
    for share, change in _CHANGES:
        if point < share:
            return change(pair, random)
        point -= share
    return pair


def without_contractions(english: str) -> str:
    """With "I am" for "I'm" and the like; what may be "has" is left alone."""
    if _AMBIGUOUS.search(english):
        return english
    return _CONTRACTED.sub(_expanded, english)


def _expanded(found: re.Match[str]) -> str:
    long = next(long for short, long in _CONTRACTIONS.items() if short.lower() == found[0].lower())
    return long[0].upper() + long[1:] if found[0][0].isupper() else long


def _inside(text: str, language: str) -> str:
    first, space, rest = text.partition(" ")
    return (first.lower() if first in _SMALL[language] else first) + space + rest


def _phrase(pairs: Sequence[Pair], random: Random) -> Pair:
    phrase = slots.filled(random.choice(slots.phrases()), random)
    if random.random() < 0.3:
        both = [phrase, exchanged(random.choice(pairs), random)]
        random.shuffle(both)
        return f"{both[0][0]} {both[1][0]}", f"{both[0][1]} {both[1][1]}"
    return phrase


def _in_capitals(pair: Pair, random: Random) -> Pair:
    return pair[0].upper(), pair[1].replace("ß", "SS").upper()


def _in_small_letters(pair: Pair, random: Random) -> Pair:
    return pair[0].lower(), pair[1]


def _without_end(pair: Pair, random: Random) -> Pair:
    if all(text[-1:] in (".", "!") for text in pair):
        return pair[0][:-1], pair[1][:-1]
    return pair


def _with_curly_marks(pair: Pair, random: Random) -> Pair:
    return pair[0].replace("'", "’"), pair[1]  # noqa: RUF001


def _with_long_forms(pair: Pair, random: Random) -> Pair:
    return without_contractions(pair[0]), pair[1]


def _in_quotes(pair: Pair, random: Random) -> Pair:
    if '"' in pair[0] or "„" in pair[1]:
        return pair
    left, right = random.choice((('"', '"'), ("“", "”"), ("'", "'")))
    return f"{left}{pair[0]}{right}", f"„{pair[1]}“"


def _with_copied(pair: Pair, random: Random) -> Pair:
    """An address or a code in brackets before the end, or in front."""
    kind = random.choice(("code", "n", "url", "email", "file", "word", "version", "time"))
    english, german = slots.filled((f"{{{kind}}}", f"{{{kind}}}"), random)
    if random.random() < 0.5 and all(side[-1:] in ".!?" for side in pair):
        return _before_end(pair[0], f" ({english})"), _before_end(pair[1], f" ({german})")
    return f"{english}: {pair[0]}", f"{german}: {pair[1]}"


def _before_end(text: str, added: str) -> str:
    return text[:-1] + added + text[-1:]


def _in_markup(pair: Pair, random: Random) -> Pair:
    left, right = random.choice(
        (
            ("<b>", "</b>"),
            ("<p>", "</p>"),
            ("**", "**"),
            ("<i>", "</i>"),
            ("_", "_"),
            ("{0} ", ""),
            ("", " %s"),
            ('<a href="#">', "</a>"),
        )
    )
    return f"{left}{pair[0]}{right}", f"{left}{pair[1]}{right}"


_CHANGES: tuple[tuple[float, Callable[[Pair, Random], Pair]], ...] = (
    (0.02, _in_capitals),
    (0.04, _in_small_letters),
    (0.04, _without_end),
    (0.04, _with_curly_marks),
    (0.08, _with_long_forms),
    (0.03, _in_quotes),
    (0.04, _with_copied),
    (0.02, _in_markup),
)
