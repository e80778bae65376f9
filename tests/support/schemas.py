"""Random JSON schemas of the kinds that people publish: enums, nested objects, arrays, formats, unions."""

from __future__ import annotations

import random
from typing import Any

_WORDS = ("name", "colour", "size", "größe", "tags", "ok", "is new", "id", "price", "x-y", "日付")
_FORMATS = ("date", "time", "date-time", "uuid", "ipv4", "email", "duration", "hostname", "uri")


def random_schema(draw: random.Random, depth: int = 2) -> dict[str, Any]:
    """A schema that some JSON is valid by.

    Args:
        draw: where chance comes from.
        depth: how many objects and arrays may stand in each other.
    """
    simple = [_string, _string, _number, _enum, _constant, _format, _pattern, _plain]
    nested = [_object, _object, _array, _union, _nullable] if depth else []
    return draw.choice([*simple, *nested, *nested])(draw, depth)


def object_schema(draw: random.Random) -> dict[str, Any]:
    """One whose JSON is an object, as most that are sent are."""
    return draw.choice([_object, _object, _object, _reference])(draw, 3)


def _plain(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"type": draw.choice(["boolean", "null"])}


def _string(draw: random.Random, depth: int) -> dict[str, Any]:
    least = draw.randint(0, 3)
    return {"type": "string", "minLength": least, "maxLength": least + draw.randint(0, 9)}


def _number(draw: random.Random, depth: int) -> dict[str, Any]:
    low = draw.randint(-50, 50)
    bounds = {"minimum": low, draw.choice(["maximum", "exclusiveMaximum"]): low + draw.randint(1, 200)}
    return {"type": draw.choice(["integer", "number"]), **bounds}


def _enum(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"enum": draw.sample([*_WORDS, 1, 2.5, None, True, "a\nb", 'with "quotes"'], draw.randint(1, 4))}


def _constant(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"const": draw.choice([*_WORDS, 7, False])}


def _format(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"type": "string", "format": draw.choice(_FORMATS)}


def _pattern(draw: random.Random, depth: int) -> dict[str, Any]:
    patterns = ["^[A-Z]{2}-[0-9]{1,4}$", "^(a|b)+c?$", "^[a-z]{1,5}( [a-z]{1,5}){0,2}$"]
    return {"type": "string", "pattern": draw.choice(patterns), "maxLength": 20}


def _object(draw: random.Random, depth: int) -> dict[str, Any]:
    names = draw.sample(_WORDS, draw.randint(1, 4))
    return {
        "type": "object",
        "properties": {name: random_schema(draw, depth - 1) for name in names},
        "required": draw.sample(names, draw.randint(0, len(names))),
        "additionalProperties": False,
    }


def _array(draw: random.Random, depth: int) -> dict[str, Any]:
    least = draw.randint(0, 2)
    items = random_schema(draw, depth - 1)
    return {"type": "array", "items": items, "minItems": least, "maxItems": least + draw.randint(0, 2)}


def _union(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [random_schema(draw, depth - 1) for _ in range(draw.randint(2, 3))]}


def _nullable(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"type": ["string", "integer", "null"], "maxLength": 6, "minimum": 0}


def _reference(draw: random.Random, depth: int) -> dict[str, Any]:
    kind = random_schema(draw, 0)
    return {
        "$defs": {"kind": kind},
        "type": "object",
        "properties": {
            "first": {"$ref": "#/$defs/kind"},
            "more": {"type": "array", "items": kind, "maxItems": 2},
        },
        "required": ["first"],
        "additionalProperties": False,
    }
