"""Review sentences from a small grammar of our own: what comments alone do not teach.

GoEmotions is people talking to people; reviews judge things. These sentences name a
thing and judge it, with the turns that mislead a bag of words: negation, contrast
("dull at first, but ..."), faint praise, and verdicts without an adjective.
Written for this repository; no review text is copied. Never used for evaluation.
"""

from __future__ import annotations

import random

from recipes.goemotions import Labelled

_THINGS = {
    "film": (
        "film", "movie", "plot", "acting", "script", "ending", "soundtrack", "direction", "dialogue", "cast",
        "story", "pacing", "photography", "documentary", "comedy", "thriller", "sequel", "lead performance",
    ),
    "goods": (
        "phone", "battery", "screen", "keyboard", "camera", "vacuum", "blender", "jacket", "pair of shoes",
        "headset", "build quality", "packaging", "zip", "app", "update", "printer", "chair", "lamp", "price",
    ),
    "place": (
        "restaurant", "food", "service", "waiter", "room", "hotel", "bed", "breakfast", "pizza", "soup",
        "coffee", "staff", "location", "view", "shower", "check-in", "menu", "dessert", "delivery", "support",
    ),
    "book": ("book", "novel", "chapter", "prose", "heroine", "narrator", "translation", "course", "lecture", "game"),
}  # fmt: skip
_GOOD = (
    "wonderful", "superb", "charming", "gripping", "delightful", "excellent", "brilliant", "moving", "funny",
    "beautiful", "clever", "fresh", "solid", "reliable", "comfortable", "generous", "friendly", "spotless",
    "memorable", "inventive", "touching", "witty", "elegant", "sturdy", "fast", "quiet", "sharp", "delicious",
    "thoughtful", "engaging", "warm", "impressive", "flawless", "rewarding", "absorbing", "tender", "honest",
    "lovely", "outstanding", "first-rate", "a joy", "a pleasure", "a triumph", "a delight", "worth every penny",
)  # fmt: skip
_BAD = (
    "dull", "boring", "awful", "terrible", "clumsy", "tedious", "predictable", "flat", "lifeless", "noisy",
    "dirty", "rude", "slow", "broken", "useless", "cheap", "overpriced", "bland", "cold", "stale", "shallow",
    "pretentious", "confusing", "messy", "forgettable", "annoying", "painful", "weak", "lazy", "hollow",
    "unreliable", "uncomfortable", "disappointing", "sloppy", "pointless", "flimsy", "misleading", "greasy",
    "wooden", "a mess", "a chore", "a waste of time", "a letdown", "a disaster", "not worth the money",
)  # fmt: skip
_PLAIN = (  # words that praise or damn only through what stands around them
    ("{t} did exactly what I hoped for", "{t} did nothing of what was promised"),
    ("I would buy it again tomorrow", "I sent it back the next day"),
    ("I could not put it down", "I could not get through it"),
    ("I was sorry when it ended", "I was glad when it ended"),
    ("we will certainly come back", "we will never come back"),
    ("nothing about {t} disappoints", "nothing about {t} works"),
    ("{t} kept me on the edge of my seat", "{t} put me to sleep"),
    ("{t} lasted for years", "{t} broke after a week"),
    ("I laughed from start to finish", "I did not laugh once"),
    ("everyone in the family loves it", "everyone in the family hates it"),
    ("{t} deserves every award it gets", "{t} deserves to be forgotten"),
    ("I recommend {t} to anyone", "I would warn anyone off {t}"),
    ("five stars from me", "one star is too many"),
    ("they answered at once and fixed it", "they never answered my emails"),
    ("{t} is better than I expected", "{t} is worse than I expected"),
    ("it never gets old", "it gets old very quickly"),
    ("you can feel the care in every detail", "you can feel that nobody cared"),
    ("there is hardly anything to complain about", "there is hardly anything to like"),
    ("{t} stays with you for days", "{t} leaves you with nothing"),
    ("I want my friends to see this", "I want my money back"),
)
_SIMPLE = (
    "the {n} is {a}", "the {n} was {a}", "{a} {n}", "what {an} {n}", "I found the {n} {a}", "this {n} is {v} {a}",
    "the {n} turned out to be {a}", "{v} {a}, this {n}", "the {n} is {a} and {a2}", "{an}, {a2} {n}",
    "in the end the {n} is {a}", "from the first minute the {n} is {a}", "overall {an} {n}",
)  # fmt: skip
_NEGATED = ("the {n} is not {a}", "the {n} isn't {a} at all", "there is nothing {a} about the {n}",
            "the {n} was never {a}", "I would not call the {n} {a}", "the {n} is anything but {a}",
            "hardly {an} {n}", "the {n} is far from {a}")  # fmt: skip
_TURN = ("the {n} is {b}, but the {m} is {a}", "although the {n} starts out {b}, it ends up {a}",
         "I expected something {b}; it is {a}", "people said the {n} was {b}, yet I found it {a}",
         "despite {bn} {m}, the {n} is {a}", "it could have been {b}; instead the {n} is {a}",
         "the {n} looks {b} but is really {a}")  # fmt: skip
_VERY = ("really", "very", "truly", "simply", "quite", "so", "absolutely", "just", "utterly", "surprisingly")


def review_sentences(count: int, *, seed: int) -> list[Labelled]:
    """`count` sentences, half of them negative; the same for the same seed."""
    draw = random.Random(seed)
    return [Labelled(_polish(_sentence(draw, i % 2), draw), i % 2) for i in range(count)]


def _sentence(draw: random.Random, label: int) -> str:
    kind = draw.random()
    things = _THINGS[draw.choice(sorted(_THINGS))]
    noun, other = draw.sample(things, 2)
    own, opposite = (_GOOD, _BAD) if label else (_BAD, _GOOD)
    if kind < 0.2:
        return draw.choice(_PLAIN)[1 - label].format(t=f"the {noun}")
    if kind < 0.38:
        return _fill(draw.choice(_NEGATED), draw, noun, other, opposite, own)
    if kind < 0.55:
        return _fill(draw.choice(_TURN), draw, noun, other, own, opposite)
    if kind < 0.7:
        halves = (_fill(draw.choice(_SIMPLE), draw, noun, other, own, opposite),
                  draw.choice(_PLAIN)[1 - label].format(t=f"the {other}"))  # fmt: skip
        return draw.choice((", and ", "; ", ". ")).join(draw.sample(halves, 2))
    return _fill(draw.choice(_SIMPLE), draw, noun, other, own, opposite)


def _fill(
    pattern: str, draw: random.Random, noun: str, other: str, own: tuple[str, ...], opposite: tuple[str, ...]
) -> str:
    adjectives = [a for a in own if not a.startswith(("a ", "not ", "worth "))]
    # A phrase such as "a mess" stands only after a verb.
    free = "{a} {n}" not in pattern and "{v}" not in pattern and "{a2}" not in pattern
    word, second = draw.choice(own if free else adjectives), draw.choice(adjectives)
    against = draw.choice([a for a in opposite if not a.startswith(("a ", "not ", "worth "))])
    return pattern.format(
        n=noun,
        m=other,
        a=word,
        a2=second,
        an=_article(second),
        b=against,
        bn=_article(against),
        v=draw.choice(_VERY),
    )


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _polish(sentence: str, draw: random.Random) -> str:
    style = draw.random()
    if style < 0.15:
        return sentence
    sentence = sentence[0].upper() + sentence[1:]
    return sentence + ("!" if style > 0.9 else ".")
