"""JSON keeps its digits; the oracle is Python's own `json`."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import jsontext

INTEGERS = st.integers() | st.integers(-(10**40), 10**40) | st.integers(2**62, 2**65).map(lambda n: -n)
STRINGS = st.text(st.characters(exclude_categories=["Cs"])) | st.from_regex(r"\A\\?u?[0-9]{15,30}\Z")
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of one type at every place (1 is not 1.0)."""
    return json.dumps(left) == json.dumps(right)


@given(VALUES, st.booleans())
def test_what_python_writes_is_read_to_the_digit(value: Any, is_ascii: bool) -> None:
    """W21: integers beyond 64 bits became floats."""
    text = json.dumps(value, ensure_ascii=is_ascii)
    assert same(jsontext.loads(text), value)
    assert same(jsontext.loads(text.encode()), value)


@given(VALUES)
def test_what_we_write_python_reads_to_the_digit(value: Any) -> None:
    assert same(json.loads(jsontext.dumps(value)), value)


@pytest.mark.parametrize(
    "number",
    [
        "123456789012345678901", "-123456789012345678901", "18446744073709551615", "18446744073709551616",
        "-9223372036854775808", "-9223372036854775809", "1" * 400, "0.1", "1.0", "-0.0", "1e308", "1E-7",
        "12345678901234567890.5", "0.12345678901234567890123", "123456789012345678901e2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("padding", range(7))
def test_a_number_is_read_as_python_reads_it_wherever_it_stands(number: str, padding: int) -> None:
    text = " " * padding + '{"\\u0041' + "7" * 20 + f'": {number}}}'
    assert same(jsontext.loads(text), json.loads(text))


@pytest.mark.parametrize("long", ["", ', "n": 123456789012345678901'])
@pytest.mark.parametrize(
    "wrong",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "1" * 400 + ".5",
        "01",
        '"\\ud800"',
        "tru",
        "[1,]",
        '"\t"',
        "1" * 5000,
    ],
)
def test_what_is_no_json_is_refused_beside_a_long_number_too(wrong: str, long: str) -> None:
    with pytest.raises(jsontext.JSONDecodeError):
        jsontext.loads(f'{{"a": {wrong}{long}}}')


def test_nesting_beyond_all_measure_is_refused_and_does_not_end_the_process() -> None:
    with pytest.raises(jsontext.JSONDecodeError):
        jsontext.loads("[" * 100_000 + "1234567890123456789012")


def test_what_has_no_form_in_json_cannot_be_written() -> None:
    for value in (object(), {"a": "\ud800"}, [10**30, "\ud800"], [10**30, object()]):
        with pytest.raises(TypeError):
            jsontext.dumps(value)


def test_keys_are_strings_and_may_be_sorted() -> None:
    assert jsontext.dumps({"b": 10**30, "a": 1}, sort_keys=True) == b'{"a":1,"b":%d}' % 10**30
    assert jsontext.dumps({1: "x"}) == b'{"1":"x"}'


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 123456789012345678901,\n "b": 00}',
        '{"a": 123456789012345678901 "b"}',
        '{"ä": "9876543210987654321098", "b": 123456789012345678901, "c": tru}',
        "[tru, 123456789012345678901]",
        "[123456789012345678901",
    ],
)
def test_the_place_of_a_slip_is_told_beside_a_long_number_as_well(text: str) -> None:
    """The column was that of the text with its long numbers cut short."""
    with pytest.raises(jsontext.JSONDecodeError) as expected:
        orjson.loads(
            text.replace("123456789012345678901", '"4567890123456789012"')
        )  # as long, and orjson reads it
    with pytest.raises(jsontext.JSONDecodeError) as caught:
        jsontext.loads(text)
    told = (caught.value.msg, caught.value.lineno, caught.value.colno)
    assert told == (expected.value.msg, expected.value.lineno, expected.value.colno)


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_a_hundred_in_each_other_are_not_too_deep_and_one_more_is(brackets: str) -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [0, value] if brackets == "[]" else {"a": 0, "b": value}
        return value

    assert not jsontext.is_nested_too_deep(nested(jsontext.MAX_NESTING))
    assert jsontext.is_nested_too_deep(nested(jsontext.MAX_NESTING + 1))
    assert not jsontext.is_nested_too_deep("a")
