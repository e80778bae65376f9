"""No pattern that meets text of users takes time that grows with the square of it."""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("api", "jobs", "workers", "models", "textmill")
OPERATIONS = {"match", "fullmatch", "search", "findall", "finditer", "split", "sub"}
#: Written by the operator or by us: settings, names of models' configs and modules, our own messages.
NO_USER_TEXT = {
    "jobs/catalogue.py", "models/loading/source.py", "models/proving/shrinking.py", "models/proving/switches.py",
    "models/encoders/proof.py", "models/loading/packing.py", "textmill/stack/server_binary.py", "textmill/stack/broker.py",
    "textmill/terminal/failure.py", "textmill/installing/install.py",
}  # fmt: skip
#: Guarded by the length of what they are given; what the guard is.
SHORT_TEXT_ONLY = {
    ("jobs/tasks.py", "_PAIR"): "_MOST_CHARACTERS",
}
PIECES = (
    " ", "a", "A", "0", ".", "_", "\n", "\r", "<", "|", "(", '"', ",", ":", "\ufe0f", "\u20e3", "\U0001f600",
    "\u2022", "a@", "://", "www.", "translate a", " to a", "wait", "=",
)  # fmt: skip
LENGTH = 100_000
#: Twice the text may take twice the time and what noise adds; a square takes four times.
MOST_GROWTH = 3.0


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "recipes" not in path.parts and path.relative_to(ROOT).as_posix() not in NO_USER_TEXT:
                yield path


def used_patterns() -> Iterator[tuple[str, str, str]]:
    """(module, name of a compiled pattern, operation) for every use in the code."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute) or node.attr not in OPERATIONS:
                continue
            if isinstance(node.value, ast.Name) and node.value.id.strip("_").isupper():
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield module, node.value.id, node.attr


CASES = sorted(set(used_patterns()))


def made_inline() -> Iterator[tuple[str, str]]:
    """(file, call) for every use of a pattern that has no name."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            of = node.func.value
            if isinstance(of, ast.Name) and of.id == "re" and node.func.attr in OPERATIONS:
                yield path.relative_to(ROOT).as_posix(), ast.unparse(node.args[0])


#: Patterns without a name, under the same test: what is searched, and how.
INLINE = {
    ("jobs/rows/tables.py", "f'{re.escape(delimiter)} +\"'"): (re.compile(', +"'), "search"),
    ("models/tasks/translation/sources.py", "'\\\\S+\\\\s*'"): (re.compile(r"\S+\s*"), "findall"),
}


def test_every_pattern_without_a_name_is_known_here() -> None:
    assert set(made_inline()) == set(INLINE)


def test_patterns_are_found() -> None:
    assert ("jobs.rows.fields", "_UNSTORABLE", "search") in CASES
    assert len(CASES) >= 8


def test_a_square_is_told_from_a_line() -> None:
    assert growth(partial(run, re.compile(r"\s+$"), "search"), " ", 4000) > MOST_GROWTH
    assert growth(partial(run, re.compile(r"\s"), "findall"), " ", 4000) < MOST_GROWTH


@pytest.mark.parametrize(("module", "name", "operation"), CASES)
def test_the_time_of_a_pattern_grows_with_the_text(module: str, name: str, operation: str) -> None:
    """L1: one row of 100,000 dots froze a worker for minutes, by a pattern's square."""
    if (f"{module.replace('.', '/')}.py", name) in SHORT_TEXT_ONLY:
        pytest.skip("meets short texts only; has a test of its own")
    pattern = getattr(importlib.import_module(module), name)
    if isinstance(pattern, re.Pattern):
        assert_linear(pattern, operation)


@pytest.mark.parametrize("case", sorted(INLINE))
def test_so_does_that_of_one_without_a_name(case: tuple[str, str]) -> None:
    assert_linear(*INLINE[case])


def test_names_of_tasks_are_short_before_a_pattern_sees_them() -> None:
    """A relative of L1: `task` of 1 MB, "translation_aa_to_aa_to_aa...", took hours."""
    from jobs import tasks

    assert [name for (_, _), name in SHORT_TEXT_ONLY.items() if not hasattr(tasks, name)] == []
    began_at = time.thread_time()
    with pytest.raises(ValueError, match="unknown task"):
        tasks.read_task("translation_aa" + "_to_aa" * LENGTH + "!")
    assert time.thread_time() - began_at < 1.0


def assert_linear(pattern: re.Pattern[str] | re.Pattern[bytes], operation: str) -> None:
    work = partial(run, pattern, operation)
    for first, second in product(PIECES, PIECES):
        piece = first if first == second else first + second
        # Short texts tell most: only what seems to grow is tried with long ones.
        if growth(work, piece, 250) > MOST_GROWTH and growth(work, piece, 4000, tries=3) > MOST_GROWTH:
            found = growth(work, piece, 12_000, tries=3)
            assert found < MOST_GROWTH, f"{pattern.pattern!r}, {piece!r}: twice the text, {found:.1f} times"


def growth(work: Callable[[str], None], piece: str, length: int, *, tries: int = 2) -> float:
    """How many times longer twice the text takes; 1 where it takes no time to speak of."""
    single, double = (
        min(seconds(work, (piece * (n // len(piece) + 1))[:n]) for _ in range(tries))
        for n in (length, 2 * length)
    )
    return double / single if double > 200e-6 else 1.0


def seconds(work: Callable[[str], None], text: str) -> float:
    began_at = time.thread_time()
    work(text)
    return time.thread_time() - began_at


def run(pattern: re.Pattern[str], operation: str, text: str) -> None:
    """Through the text to its end, with an end that fits and one that does not."""
    for given in (text, f"{text}!"):
        subject = given.encode() if isinstance(pattern.pattern, bytes) else given
        if operation == "sub":
            pattern.sub(b"" if isinstance(subject, bytes) else "", subject)  # type: ignore[call-overload]
        elif operation == "finditer":
            for _ in pattern.finditer(subject):  # type: ignore[arg-type]
                pass
        else:
            getattr(pattern, operation)(subject)
