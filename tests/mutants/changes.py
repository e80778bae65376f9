"""Which changes say something about the tests: none to words that people read, and each text once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import libcst as cst
from mutmut.mutation import mutators

Operator = Callable[[Any], Iterable[cst.CSTNode]]


def leave_words_alone() -> None:
    """Narrows mutmut's own list of changes, once for this process and those that it forks."""
    mutators.mutation_operators[:] = [
        (kind, _NARROWED[operator](operator) if operator in _NARROWED else operator)
        for kind, operator in mutators.mutation_operators
    ]


def is_prose(node: cst.CSTNode) -> bool:
    """Whether people read it: f-strings, texts in pieces, and texts with a space."""
    if isinstance(node, (cst.FormattedString, cst.ConcatenatedString)):
        return True
    return isinstance(node, cst.SimpleString) and " " in node.value


def _one_of_each_text(operator: Operator) -> Operator:
    """`"a"` becomes `"XXaXX"`; that it becomes `"A"` as well shows nothing more."""

    def narrowed(node: cst.BaseString) -> Iterable[cst.CSTNode]:
        return () if is_prose(node) else islice(operator(node), 1)

    return narrowed


def _with_its_words(operator: Operator) -> Operator:
    """Arguments become None or are left out, but for messages."""

    def narrowed(node: cst.Call) -> Iterable[cst.CSTNode]:
        words = [argument for argument in node.args if is_prose(argument.value)]
        for changed in operator(node):
            if all(any(word is kept for kept in changed.args) for word in words):  # type: ignore[attr-defined]
                yield changed

    return narrowed


_NARROWED: dict[Operator, Callable[[Operator], Operator]] = {
    mutators.operator_string: _one_of_each_text,
    mutators.operator_arg_removal: _with_its_words,
}
