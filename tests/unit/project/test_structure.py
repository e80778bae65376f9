"""What the project promises about its own shape."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jobs.settings import Settings

ROOT = Path(__file__).parents[3]
PACKAGES = ("textmill", "api", "jobs", "workers", "models")
OWN_FILES = sorted(
    path for package in (*PACKAGES, "tests", "benchmarks") for path in (ROOT / package).rglob("*.py")
)


def test_no_file_is_longer_than_400_lines() -> None:
    long = {str(path.relative_to(ROOT)): n for path in OWN_FILES if (n := len(path.open().readlines())) > 400}
    assert long == {}


def test_package_inits_hold_a_docstring_and_at_most_reexports() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("__init__.py"):
            body = ast.parse(path.read_text()).body
            allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)
            assert all(isinstance(node, allowed) for node in body), path


def test_no_test_sleeps() -> None:
    sleeping = re.compile(r"\b(time\.)?sleep\(\s*[\d.]")
    assert [str(path) for path in (ROOT / "tests").rglob("*.py") if sleeping.search(path.read_text())] == []


def test_the_http_edge_and_the_users_side_load_no_torch() -> None:
    for module in ("api.app", "textmill.cli", "workers.celery_app"):
        program = f"import sys, {module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0, module


def test_every_dependency_is_pinned_in_the_lock_and_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    named = {re.match(r"[A-Za-z0-9._-]+", line).group() for group in groups for line in group}  # type: ignore[union-attr]
    locked = {
        line.partition("==")[0].lower().replace("_", "-")
        for lock in ("dev", "torch")
        for line in (ROOT / f"requirements/{lock}.lock").read_text().splitlines()
        if "==" in line
    }
    reasons = "".join(page.read_text() for page in (ROOT / "docs/decisions").glob("0*.md"))
    for name in named - {"textmill"}:
        assert name.lower().replace("_", "-") in locked, f"{name} is not in requirements/"
        assert f"`{name}" in reasons, f"{name} has no reason in docs/decisions"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_in_the_readme(name: str) -> None:
    assert f"TEXTMILL_{name.upper()}" in (ROOT / "README.md").read_text()


def test_the_architecture_page_names_every_module() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            is_machinery = path.name in {"__init__.py", "__main__.py"} or "migrations" in path.parts
            if not is_machinery:
                assert f"{path.stem}" in page, f"{path.relative_to(ROOT)} is not in ARCHITECTURE.md"
