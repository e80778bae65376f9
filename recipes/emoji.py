"""Emoji that carry a feeling, and sentences in which they decide it."""

from __future__ import annotations

import random
import unicodedata

from recipes.rated import NEUTRAL, Rated

GOOD = tuple(
    "😀😃😄😁😆😅😂🤣😊😇🙂😉😍🥰😘😋😎🤩🥳🤗👍👏🙌💪🎉🎊✨🌟⭐❤💕💖💙💚💛💜🧡💯🔥😻🏆🥇✅👌😌☺♥🙏💐🌈"
)
BAD = tuple("😞😟😠😡🤬😢😭😩😫😤😒😔😕🙁☹😣😖🤮🤢😱😨👎💔😾😿🤦🖕💩😑🙄😓😰😥🥱💀❌⛔🤡😪")
PLAIN = tuple("📦📱💻📷🎬🎵📚✈🏨🍕☕🍔🚗🏠🐶🐱🌍📅📞🤔😐😶👀🔋🎮👟🧥📺🛒🕐💬➡🙃😬😏🤷😳😮")
SKIN_TONES = tuple("🏻🏼🏽🏾🏿")

_FRAMES = (
    "the {n} arrived today {e}", "just finished the {n} {e}", "{e}", "{e}{e}", "{e}{e}{e}", "so this is the {n} {e}",
    "{n} {e}", "my {n} after one week {e}", "{e} the {n}", "and then the {n} came {e}{e}", "me when I saw the {n} {e}",
    "first day with the {n} {e}", "the {n}{e}", "that {n} though {e}", "update on the {n}: {e}",
)  # fmt: skip
_NOUNS = ("phone", "film", "hotel", "parcel", "pizza", "book", "game", "concert", "delivery", "room", "coffee", "laptop",
          "update", "service", "shoes", "album", "flight", "match", "show", "cake")  # fmt: skip


#: Each emoji's name in Unicode, in words.
EMOJI_NAMES = {
    emoji: unicodedata.name(emoji).lower().replace("-", " ") for emoji in (*GOOD, *BAD, *PLAIN, *SKIN_TONES)
}


def emoji_sentences(count: int, *, seed: int) -> list[Rated]:
    """Sentences whose feeling lies in the emoji alone; the same for the same seed."""
    draw = random.Random(f"emoji {seed}")
    rows = []
    for number in range(count):
        positive, choices = ((0.0, BAD), (1.0, GOOD), (NEUTRAL, PLAIN))[number % 3]
        sentence = draw.choice(_FRAMES).format(n=draw.choice(_NOUNS), e=draw.choice(choices))
        rows.append(Rated(sentence, 0.04 + 0.92 * positive))
    return rows
