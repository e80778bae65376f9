"""Where sentences end, in the languages served, on friendly and on hostile text."""

# ruff: noqa: RUF001  # text of many scripts is the point
from __future__ import annotations

import time

import pytest

from models.tasks.translation.layout import segments
from models.tasks.translation.sentences import base_language, sentences

CUT: list[tuple[str, list[str]]] = [
    ("en", ["Mr. Brown is old.", "He lives here."]),
    ("en", ["Dr. Smith met Mrs. Jones at 5 p.m. in St. Louis.", "They talked."]),
    ("en", ["J. R. R. Tolkien wrote it.", "Everybody reads it."]),
    ("en", ["It costs 3.50 euros.", "That is cheap."]),
    ("en", ['He said: "It is late."', "Then he left."]),
    ("en", ["Wait... what?", "I do not know."]),
    ("en", ["The U.S. economy grew.", "Prices fell."]),
    ("en", ["Use e.g. a hammer, i.e. a tool.", "Good."]),
    ("en", ["Really?!", "Yes!"]),
    ("de", ["Das ist z.B. ein Hund.", "Er bellt."]),
    ("de", ["Dr. Müller kommt am 3. Mai.", "Das ist schön."]),
    ("de", ["Er sagte: „Es ist spät.“", "Dann ging er."]),
    ("fr", ["M. Dupont est chez M. Petit.", "Il est vieux."]),
    ("fr", ["Est-ce vrai ?", "Oui !"]),
    ("es", ["¿Cómo estás?", "¡Muy bien!"]),
    ("es", ["El Sr. García llegó.", "J. Pérez también."]),
    ("ru", ["А. С. Пушкин родился в 1799 г. в Москве.", "Он поэт."]),
    ("pl", ["Prof. Kowalski przyszedł.", "To dobrze."]),
    ("hi", ["यह एक घर है।", "वह पुराना है।"]),
    ("ar", ["هل أنت هنا؟", "نعم أنا هنا."]),
    ("zh", ["今天天气很好。", "我们去公园吧！", "你来吗？"]),
    ("zh", ["他说：“今天很好。”", "然后他走了。"]),
    ("ja", ["今日は天気がいい。", "公園に行きましょう！"]),
]


@pytest.mark.parametrize(("language", "wanted"), CUT)
def test_a_line_is_cut_between_its_sentences_only(language: str, wanted: list[str]) -> None:
    """W18: "Mr." was taken for the end of a sentence."""
    line = ("" if language in {"zh", "ja"} else "  ").join(wanted)
    found = sentences(line, language)
    assert "".join(found) == line
    assert [each.strip() for each in found] == wanted


def test_a_sentence_longer_than_the_windows_is_still_whole() -> None:
    long = "The dog and " * 250 + "the cat ran."
    found = sentences(f"He came. {long} She left.", "en")
    assert found == ["He came. ", f"{long} ", "She left."]


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("fra_Latn", "fr"), ("fr_XX", "fr"), ("__fr__", "fr"), ("deu", "de"), ("de", "de"), ("arb_Arab", "ar"),
        ("zho_Hans", "zh"), ("cmn", "zh"), ("python", "python"), ("ROMANCE", "ROMANCE"), (None, "en"),
    ],
)  # fmt: skip
def test_the_codes_of_models_name_languages(code: str | None, language: str) -> None:
    assert base_language(code) == language
    assert sentences("Mr. A is here. It is.", language)  # one that is unknown to the library is cut too


_HOSTILE = {
    "dots": ".", "dots and spaces": ". ", "one word": "a", "empty lines": "\n", "no end": "the old clock ",
    "abbreviations": "Mr. ", "initials": "A. ", "quotes": '"', "open quotes": "“a. ", "brackets": "(a. ",
    "full-width": "今。", "no spaces": "今", "tabs": "a\t", "emoji": "😀", "emoji and letters": "😀a", "emoji and spaces": "😀 ",
    "list marks": "1. ", "bullets": "- ", "letters in lists": "a) ", "at signs": "a@", "keycaps": "1\ufe0f",
    "tags": "<", "ended tags": ".<a",
    "a long one before": "今" * 4000 + "今。" * 2000,
}  # fmt: skip


@pytest.mark.parametrize(("language", "is_known"), [("en", False), ("fr", True)])
@pytest.mark.parametrize("what", _HOSTILE)
def test_the_time_grows_with_the_text_and_not_with_its_square(
    what: str, language: str, *, is_known: bool
) -> None:
    """L1: 100,000 dots in one row froze the worker for minutes."""
    long = (_HOSTILE[what] * 20_000)[:19_999]
    text = f"{long}a" if is_known else f"a{long}"
    started = time.process_time()
    found = segments(text, language, knows=lambda emoji: is_known)
    assert time.process_time() - started < 3  # a quarter of a second or less, as a rule
    assert "".join(segment.text for segment in found) == text
