"""Survivors of `make mutants` that are accepted: each says why, and names code that is there."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
SURVIVORS = tomllib.loads((ROOT / "tests/mutants/survivors.toml").read_text()).get("survivor", [])


def functions_of(path: Path) -> set[str]:
    """`function`, and `Class.function` of methods."""
    tree = ast.parse(path.read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    scopes = [("", tree.body), *((f"{node.name}.", node.body) for node in classes)]
    return {
        f"{prefix}{node.name}"
        for prefix, body in scopes
        for node in body
        if isinstance(node, ast.FunctionDef)
    }


def test_every_accepted_survivor_has_a_reason_and_is_still_in_the_code() -> None:
    for each in SURVIVORS:
        assert set(each) == {"where", "was", "became", "reason"}, each
        assert all(each.values()), each
        assert each["was"] != each["became"], each
        assert is_in_the_code(each["where"]), each["where"]


def is_in_the_code(where: str) -> bool:
    """Whether `package.module.Class.function` is there."""
    parts = where.split(".")
    paths = (
        (ROOT.joinpath(*parts[:n]).with_suffix(".py"), ".".join(parts[n:])) for n in range(1, len(parts))
    )
    return any(path.exists() and name in functions_of(path) for path, name in paths)


def test_no_survivor_is_accepted_twice() -> None:
    changes = [(each["where"], each["was"], each["became"]) for each in SURVIVORS]
    assert len(set(changes)) == len(changes)
