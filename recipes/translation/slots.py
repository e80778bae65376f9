"""Values that stand in both languages: numbers, dates, amounts, names, addresses, as each writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

Both = tuple[str, str]  # as English and as German write it

_HERE = Path(__file__).parent
_MONTHS = (
    ("January", "Januar"), ("February", "Februar"), ("March", "März"), ("April", "April"), ("May", "Mai"),
    ("June", "Juni"), ("July", "Juli"), ("August", "August"), ("September", "September"), ("October", "Oktober"),
    ("November", "November"), ("December", "Dezember"),
)  # fmt: skip
_ONSETS = ("b", "br", "ch", "d", "dr", "f", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "r", "s", "sch", "sh",
           "st", "t", "th", "tr", "v", "w", "z")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ie", "oo", "ö", "ü", "é")
_CODAS = ("n", "r", "l", "m", "nd", "rt", "ck", "t", "x", "th", "ng")
_ENDINGS = ("com", "org", "net", "de", "co.uk", "io", "example", "edu")
_SLOT = re.compile(r"\{(\w+)\}")
_INVENTED_SHARE = 0.3


@cache
def phrases() -> tuple[Both, ...]:
    """Our own sentences with slots."""
    lines = (_HERE / "phrases.tsv").read_text(encoding="utf-8").splitlines()
    return tuple((english, german) for english, _, german in (line.partition("\t") for line in lines))


@cache
def names() -> dict[str, tuple[str, ...]]:
    """Names of men, women, families and cities that both languages write alike; none ends in a sibilant."""
    lines = (_HERE / "names.txt").read_text(encoding="utf-8").splitlines()
    return {
        title.rpartition(" ")[2]: tuple(line.split())
        for title, line in zip(lines[::2], lines[1::2], strict=True)
    }


def filled(phrase: Both, random: Random) -> Both:
    """The phrase with a value in each slot; the n-th of a kind in English is the n-th of it in German."""
    values = {
        kind: [_KINDS[kind](random) for _ in range(phrase[0].count(f"{{{kind}}}"))]
        for kind in dict.fromkeys(_SLOT.findall(phrase[0]))
    }
    sides = []
    for side, text in enumerate(phrase):
        left = {kind: iter(found) for kind, found in values.items()}
        sides.append(_SLOT.sub(lambda slot: next(left[slot[1]])[side], text))  # noqa: B023
    return sides[0], sides[1]


def first_name(random: Random, kind: str) -> str:
    """Of `men` or `women`, or one that nobody has."""
    return (
        invented(random).capitalize() if random.random() < _INVENTED_SHARE else random.choice(names()[kind])
    )


def invented(random: Random) -> str:
    """A word of one to three syllables that can be copied and not known."""
    syllables = (random.choice(_ONSETS) + random.choice(_VOWELS) for _ in range(random.randint(1, 3)))
    return "".join(syllables) + random.choice(_CODAS)


def number_like(number: str, random: Random) -> str:
    """Another with as many digits, or one more or less; a year stays one."""
    if len(number) == 4 and number[:2] in ("18", "19", "20"):
        return str(random.randint(1800, 2040))
    digits = max(1, len(number) + random.choice((-1, 0, 0, 0, 1)))
    return str(random.randint(2 if digits == 1 else 10 ** (digits - 1), 10**digits - 1))


def address(random: Random) -> str:
    """An e-mail address, a link or a file's name."""
    return random.choice((_email, _url, _file))(random)[0]


def without_letters(random: Random) -> str:
    """A line that has nothing to translate."""
    make = random.choice(
        (
            lambda: " ".join(str(random.randint(0, 10**6)) for _ in range(random.randint(1, 6))),
            lambda: f"{_time(random)[0]} - {_time(random)[0]}",
            lambda: f"{random.randint(1, 31):02}.{random.randint(1, 12):02}.{random.randint(1900, 2040)}",
            lambda: random.choice("*-=+.#_~!?") * random.randint(1, 12),
            lambda: f"{random.randint(0, 99)} {random.choice('+-*/=<>')} {random.randint(0, 99)}",
            lambda: _phone(random)[0],
            lambda: f"({random.randint(0, 999)}) [{random.randint(0, 99)}] {random.randint(0, 100)} %",
        )
    )
    return make()


def _full(random: Random) -> Both:
    first = first_name(random, random.choice(("men", "women")))
    last = (
        invented(random).capitalize()
        if random.random() < _INVENTED_SHARE
        else random.choice(names()["families"])
    )
    return _same(first if random.random() < 0.3 else f"{first} {last}")


def _city(random: Random) -> Both:
    return _same(
        invented(random).capitalize()
        if random.random() < _INVENTED_SHARE
        else random.choice(names()["cities"])
    )


def _big(random: Random) -> Both:
    number = random.randint(10**3, 10 ** random.randint(4, 7))
    return f"{number:,}", f"{number:,}".replace(",", ".")


def _decimal(random: Random) -> Both:
    number = f"{random.uniform(0, 10 ** random.randint(1, 3)):.{random.randint(1, 2)}f}"
    return number, number.replace(".", ",")


def _percent(random: Random) -> Both:
    number = _decimal(random) if random.random() < 0.4 else _same(str(random.randint(1, 100)))
    return (
        (f"{number[0]}%", f"{number[1]} %")
        if random.random() < 0.6
        else (f"{number[0]} percent", f"{number[1]} Prozent")
    )


def _money(random: Random) -> Both:
    kind = random.choice(("cents", "whole", "big", "millions"))
    if kind == "millions":
        number, unit = _decimal(random), random.choice((("million", "Millionen"), ("billion", "Milliarden")))
        return f"${number[0]} {unit[0]}", f"{number[1]} {unit[1]} Dollar"
    if kind == "cents":
        number = _same(f"{random.uniform(0, 10 ** random.randint(1, 3)):.2f}")
        number = (number[0], number[1].replace(".", ","))
    else:
        number = _big(random) if kind == "big" else _same(str(random.randint(2, 999)))
    sign, words = random.choice(
        (("$", ("dollars", "Dollar")), ("€", ("euros", "Euro")), ("£", ("pounds", "Pfund")))
    )
    if random.random() < 0.5:
        return f"{sign}{number[0]}", f"{number[1]} {sign}"
    return f"{number[0]} {words[0]}", f"{number[1]} {words[1]}"


def _date(random: Random) -> Both:
    day, (english, german), year = random.randint(1, 31), random.choice(_MONTHS), random.randint(1800, 2040)
    if random.random() < 0.2:
        return f"{day} {english}", f"{day}. {german}"
    return random.choice((f"{english} {day}, {year}", f"{day} {english} {year}")), f"{day}. {german} {year}"


def _time(random: Random) -> Both:
    time = f"{random.randint(0, 23)}:{random.randint(0, 59):02}"
    return time, time


def _code(random: Random) -> Both:
    letters = "".join(random.choice("ABCDEFGHKLMNPQRSTUVWXZ") for _ in range(random.randint(1, 3)))
    return _same(
        f"{letters}{random.choice('- /') if random.random() < 0.6 else ''}{random.randint(1, 10 ** random.randint(2, 6))}"
    )


def _phone(random: Random) -> Both:
    groups = [str(random.randint(10, 9999)) for _ in range(random.randint(2, 4))]
    return _same(random.choice(("", "+", "0")) + random.choice((" ", "-", " ")).join(groups))


def _email(random: Random) -> Both:
    user = random.choice(
        (
            invented(random),
            f"{invented(random)}.{invented(random)}",
            f"{invented(random)}{random.randint(1, 999)}",
        )
    )
    return _same(f"{user}@{invented(random)}.{random.choice(_ENDINGS)}")


def _url(random: Random) -> Both:
    start = random.choice(("https://", "http://", "https://www.", "www."))
    path = "".join(
        f"/{random.choice((invented(random), str(random.randint(1, 9999))))}"
        for _ in range(random.randint(0, 3))
    )
    return _same(f"{start}{invented(random)}.{random.choice(_ENDINGS)}{path}")


def _file(random: Random) -> Both:
    return _same(
        f"{random.choice(('', '', '/etc/', '~/', './'))}{invented(random)}{random.choice(('.txt', '.json', '.py', '.csv', '.pdf', '_2.log'))}"
    )


def _word(random: Random) -> Both:
    first, second = invented(random), invented(random)
    return _same(
        random.choice(
            (first, first.upper(), f"{first}_{second}", f"{first}{second.capitalize()}", f"--{first}")
        )
    )


def _same(text: str) -> Both:
    return text, text


_KINDS: dict[str, Callable[[Random], Both]] = {
    "n": lambda random: _same(str(random.randint(2, 10 ** random.randint(1, 5)))),
    "d": lambda random: _same(str(random.randint(2, 60))),
    "year": lambda random: _same(str(random.randint(1700, 2040))),
    "version": lambda random: _same(".".join(str(random.randint(0, 20)) for _ in range(random.randint(2, 3)))),
    "big": _big, "decimal": _decimal, "percent": _percent, "money": _money, "date": _date, "time": _time,
    "code": _code, "phone": _phone, "email": _email, "url": _url, "file": _file, "word": _word,
    "full": _full, "city": _city,
}  # fmt: skip
