"""What of a text goes to a model, and what comes back as it was sent."""

# ruff: noqa: RUF001  # text of many scripts is the point
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tasks.translation.layout import segments


def _shown(text: str, *, known: str = "") -> list[str]:
    """The segments of a text; those to translate in «»."""
    found = segments(text, "en", knows=lambda emoji: emoji in known)
    assert "".join(segment.text for segment in found) == text
    return [f"«{each.source}»" if each.is_translated else each.text for each in found]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "Shopping list:\n  - The bread.\n    - The milk.\n\tThe cheese.",
            [
                "«Shopping list:»",
                "\n  - ",
                "«The bread.»",
                "\n    - ",
                "«The milk.»",
                "\n\t",
                "«The cheese.»",
            ],
        ),
        ("  The end. \r\n\r\n", ["  ", "«The end.»", " \r\n\r\n"]),
        ("The dog runs.  The cat sleeps.", ["«The dog runs.»", "  ", "«The cat sleeps.»"]),
        ("The dog\tThe cat\n", ["«The dog»", "\t", "«The cat»", "\n"]),
        ("| Name | Price |\n|---|---|", ["| ", "«Name»", " | ", "«Price»", " |\n|---|---|"]),
        ("# Title\n\n> A word.", ["# ", "«Title»", "\n\n> ", "«A word.»"]),
        ("One.\x0bTwo.\u2028Three.", ["«One.»", "\x0b", "«Two.»", "\u2028", "«Three.»"]),
    ],
)
def test_indentation_tabs_blank_lines_and_line_ends_are_kept(text: str, wanted: list[str]) -> None:
    """W16: all indentation was lost."""
    assert _shown(text) == wanted


@pytest.mark.parametrize(
    "mark",
    [
        "1. ",
        "12) ",
        "(3) ",
        "2.1. ",
        "a) ",
        "(b) ",
        "IV. ",
        "- ",
        "* ",
        "+ ",
        "• ",
        "– ",
        "[x] ",
        "> - ",
        "① ",
        "[1] ",
    ],
)
def test_list_marks_are_kept_and_not_translated(mark: str) -> None:
    """W18: a list number was translated as a sentence of its own."""
    assert _shown(f"{mark}The milk is cold.\n{mark}The bread is warm.") == [
        mark, "«The milk is cold.»", f"\n{mark}", "«The bread is warm.»"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>The milk is cold.</p><p>The bread is warm.</p>", ["The milk is cold.", "The bread is warm."]),
        ("<ul>\n<li>The milk\n</ul>", ["The milk"]),
        ('<div class="a">\n<p>One. Two.</p>\n</div>', ["One.", "Two."]),
        ("One.</p><br/><p>Two.", ["One.", "Two."]),
        ("<b>Bold</b> words are here.", ["<b>Bold</b> words are here."]),
        ("One. <em>Two</em> three.", ["One.", "<em>Two</em> three."]),
        ("I sold my <s>old</s> dog.", ["I sold my <s>old</s> dog."]),
    ],
)
def test_tags_around_sentences_are_kept_and_those_of_words_go_with_them(html: str, words: list[str]) -> None:
    """A relative of W13 and W17: the bundled model made "Depo“, „ Milch ist kalt." of `<p>The milk is cold.`"""
    found = segments(html, "en", knows=lambda _: False)
    assert "".join(segment.text for segment in found) == html
    assert [segment.text for segment in found if segment.is_translated] == words


@pytest.mark.parametrize("mark", ["A. ", "B. ", "Z.  ", "\tC. "])
def test_a_list_of_capitals_is_kept_where_they_are_no_initials(mark: str) -> None:
    """A relative of W18: "A." was cut off and translated as a sentence of its own."""
    assert _shown(f"{mark}The milk is cold.") == [mark, "«The milk is cold.»"]
    for text in ("A. B. Smith came home.", "J. Smith was old.", "Plan B. It works."):
        assert "".join(_shown(text)).count("«") == (2 if text.startswith("Plan") else 1)


@pytest.mark.parametrize(
    "text",
    [
        "-5 degrees",
        "3 dogs",
        "1970 was good",
        "5.5 million",
        "$5 is enough",
        "A dog",
        "*Bold* words",
        "I. Newton",
    ],
)
def test_what_only_looks_like_a_list_mark_is_part_of_the_sentence(text: str) -> None:
    assert _shown(text) == [f"«{text}»"]


@pytest.mark.parametrize(
    "line",
    [
        "-",
        "1",
        "😀",
        "***",
        "12.50",
        "---",
        "…",
        "?!",
        "1 + 1 = 2",
        "https://example.org/a?b=c",
        "a.b@example.org",
    ],
)
def test_lines_without_letters_and_addresses_pass_through(line: str) -> None:
    """W17: they came back as sentences that nobody wrote."""
    assert _shown(line) == [line]
    assert _shown(f"The dog.\n{line}\nThe cat.") == ["«The dog.»", f"\n{line}\n", "«The cat.»"]


@pytest.mark.parametrize("emoji", ["😀", "👍🏽", "❤️", "👨‍👩‍👧", "🇩🇪", "1️⃣", "☀", "😀😀"])
def test_emoji_between_sentences_are_kept(emoji: str) -> None:
    """W17: an emoji between sentences was translated into an apology."""
    assert _shown(f"It is new. {emoji} It is old. {emoji}") == [
        "«It is new.»", f" {emoji} ", "«It is old.»", f" {emoji}"
    ]  # fmt: skip


def test_an_emoji_inside_a_sentence_goes_with_it_only_if_the_model_knows_it() -> None:
    assert _shown("I love 🍕 a lot.", known="🍕") == ["«I love 🍕 a lot.»"]
    assert _shown("I love 🍕 a lot.") == ["«I love»", " 🍕 ", "«a lot.»"]


def test_an_emoji_that_stands_for_a_space_cuts_sentences_too() -> None:
    assert _shown("It is new.😀It is old!👍 Yes", known="😀👍") == [
        "«It is new.»", "😀", "«It is old!»", "👍 ", "«Yes»"
    ]  # fmt: skip


def test_a_tag_between_sentences_is_kept_and_one_inside_a_sentence_is_part_of_it() -> None:
    """W13: what followed `</s>` was dropped."""
    assert _shown("I like my dog.</s>The house is old.") == [
        "«I like my dog.»",
        "</s>",
        "«The house is old.»",
    ]
    assert _shown("One.<|im_end|>Two.<br/>Three.") == ["«One.»", "<|im_end|>", "«Two.»", "<br/>", "«Three.»"]
    assert _shown("I sold my <s>old</s> dog") == ["«I sold my <s>old</s> dog»"]
    assert _shown("Five < ten now. Six <3 you.") == ["«Five < ten now.»", " ", "«Six <3 you.»"]


@pytest.mark.parametrize("text", ["Windows® is new", "It is 20 °C outside", "The iPhone™ and © 2020 are old"])
def test_signs_that_are_no_emoji_cut_no_sentence(text: str) -> None:
    assert _shown(text) == [f"«{text}»"]


@pytest.mark.parametrize("character", ["\u200f", "\u00ad", "\u200b", "\u2060", "\ufeff"])
def test_characters_that_nobody_sees_do_not_reach_the_model(character: str) -> None:
    """W17: a word with a soft hyphen in it was translated as noise."""
    assert _shown(f"The wea{character}ther is nice") == ["«The weather is nice»"]
    assert _shown(f"{character}The end.") == [character, "«The end.»"]


_ALPHABET = st.sampled_from(
    [
        *"aB1.!?-*()[] \t\n\r",
        "\u00ad",
        "\u2028",
        "😀",
        "\ufe0f",
        "今",
        "。",
        "»",
        "Mr. ",
        "- ",
        "1. ",
        "<b>",
        "<",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_ALPHABET, max_size=60).map("".join), st.sampled_from(["en", "de", "zh", "xx"]))
def test_no_character_of_any_text_is_lost(text: str, language: str) -> None:
    found = segments(text, language, knows=lambda emoji: False)
    assert "".join(segment.text for segment in found) == text
    assert all(segment.source.strip() == segment.source != "" for segment in found if segment.is_translated)
