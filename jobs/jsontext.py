"""JSON in and out without losing a digit.

orjson is fast and strict, but reads an integer beyond 64 bits as a float and refuses to
write one. Ids of that size are in common use (snowflakes in strings of digits, hashes,
account numbers), so those texts alone go the slower way through Python's `json`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

JSONDecodeError = orjson.JSONDecodeError  #: a ValueError with `msg`, `lineno` and `colno`

#: Objects and arrays in each other that a client may send; writers give up at some 250.
MAX_NESTING = 100

#: The shortest integer that orjson cannot hold has 19 digits: -(2**63) - 1.
_LONG_DIGITS = 19
_DIGITS = b"0123456789"
_DIGITS_AS_ZERO = bytes(ord("0") if byte in _DIGITS else 0 for byte in range(256))
_LONG_RUN, _THREE = b"0" * _LONG_DIGITS, b"000"
# Four digits stay, for they may belong to an escape such as \u0041 before the number.
_KEPT_DIGITS = 4
_CUT_RUN = re.compile(rb"([0-9]{%d})[0-9]{%d,}" % (_KEPT_DIGITS, _LONG_DIGITS - _KEPT_DIGITS))
_CUT_RUN_OF_TEXT = re.compile(_CUT_RUN.pattern.decode())


def loads(text: bytes | bytearray | str) -> Any:
    """The value, its integers exact however long.

    NaN, Infinity, floats beyond the range of a double and lone surrogates are refused; of
    two equal keys the later one counts.

    Raises:
        JSONDecodeError: not JSON.
    """
    if isinstance(text, str):
        try:
            text = text.encode()
        except UnicodeEncodeError as error:
            raise JSONDecodeError("a lone surrogate", "", 0) from error
    # A run of 19 digits covers three neighbours of every sixth place: that tells most texts.
    if (
        len(text) < _LONG_DIGITS
        or _THREE not in text[::6].translate(_DIGITS_AS_ZERO)
        or _LONG_RUN not in text.translate(_DIGITS_AS_ZERO)
    ):
        return orjson.loads(text)
    # Strictness is orjson's, over the same text with its long runs of digits cut short.
    try:
        orjson.loads(_CUT_RUN.sub(rb"\1", text))
    except JSONDecodeError as error:
        raise _in_the_whole(error, text.decode(errors="replace")) from None
    try:
        return json.loads(text, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise JSONDecodeError(error.msg, error.doc, error.pos) from None
    except RecursionError:
        raise JSONDecodeError("nested too deep", "", 0) from None
    except ValueError as error:  # more digits than Python turns into an integer
        raise JSONDecodeError(str(error).split(";")[0], "", 0) from None


def dumps(value: Any, *, sort_keys: bool = False) -> bytes:
    """Compact JSON in UTF-8; keys that are not strings become strings.

    Raises:
        TypeError: something in it has no form in JSON, a lone surrogate for one.
    """
    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_SORT_KEYS if sort_keys else 0)
    try:
        return orjson.dumps(value, option=options)
    except TypeError as refused:
        # A long integer or deep nesting, which Python can write; or nothing that it can either.
        try:
            return json.dumps(
                value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys,
                default=_plain,
            ).encode()  # fmt: skip
        except (TypeError, ValueError, RecursionError):
            raise refused from None


def is_nested_too_deep(value: Any) -> bool:
    """Whether more than `MAX_NESTING` objects and arrays stand in each other."""
    level = [value]
    for _ in range(MAX_NESTING + 1):
        outer = [one for one in level if isinstance(one, dict | list)]
        if not outer:
            return False
        level = [inner for one in outer for inner in (one.values() if isinstance(one, dict) else one)]
    return True


def _in_the_whole(error: JSONDecodeError, text: str) -> JSONDecodeError:
    """What is wrong with the text whose runs of digits were cut, at its place in the whole one."""
    place = error.pos
    for run in _CUT_RUN_OF_TEXT.finditer(text):
        if place < run.start() + _KEPT_DIGITS:
            break
        place += len(run[0]) - _KEPT_DIGITS
    return JSONDecodeError(error.msg, text, place)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number is infinity when parsed as double")
    return value


def _plain(value: Any) -> Any:
    """What orjson writes and Python's json does not: times, UUIDs, dataclasses."""
    return orjson.loads(orjson.dumps(value))
