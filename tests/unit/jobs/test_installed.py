"""Models that were installed in a data folder, as part of the catalogue."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.catalogue import Catalogue
from jobs.errors import ConfigurationError
from jobs.installed import ENTRY, InstalledModel, models_folder, read_installed
from jobs.records import Task
from jobs.settings import Settings


def put(data: Path, name: str, **changed: Any) -> InstalledModel:
    """An installed model without files."""
    model = InstalledModel(
        name=name, revision="sha256:1", source="somewhere", num_bytes=1, added_at=datetime.now(UTC),
        **{"task": Task.GENERATION, **changed},
    )  # fmt: skip
    folder = models_folder(data) / name
    folder.mkdir(parents=True)
    (folder / ENTRY).write_text(model.model_dump_json())
    return model


def catalogue(data: Path, **settings: Any) -> Catalogue:
    return Catalogue.load(Settings.load(data=data, config=data / "none.toml", **settings))


def test_an_installed_model_is_served_beside_the_bundled_ones_and_is_no_default(tmp_path: Path) -> None:
    put(tmp_path, "mine")
    found = catalogue(tmp_path)
    assert {entry.name for entry in found.entries} >= {"mine", "textmill-generation", "textmill-qa"}
    assert found.default(Task.GENERATION).name == "textmill-generation"
    assert found.get("mine").ref == str(tmp_path / "models" / "mine" / "model")
    assert found.get("mine").revision == "sha256:1"


def test_an_installed_default_comes_before_the_bundled_model_and_after_the_operators(tmp_path: Path) -> None:
    put(tmp_path, "mine", default=True, dtype="float32")
    assert catalogue(tmp_path).default(Task.GENERATION).name == "mine"
    assert catalogue(tmp_path).get("mine").dtype == "float32"
    file = tmp_path / "textmill.toml"
    file.write_text('[[models]]\nname = "own"\ntask = "generation"\nref = "noop:g"\ndefault = true\n')
    assert Catalogue.load(Settings.load(data=tmp_path, config=file)).default(Task.GENERATION).name == "own"


def test_a_draft_that_was_broken_off_is_no_model(tmp_path: Path) -> None:
    (models_folder(tmp_path) / ".draft-1").mkdir(parents=True)
    (models_folder(tmp_path) / ".draft-1" / ENTRY).write_text("{}")
    assert read_installed(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "Expecting value"), ("{}", "name: Field required"), ('{"format": 2}', "format"), ("[]", "valid")],
)
def test_a_damaged_entry_is_named_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    put(tmp_path, "mine")
    (models_folder(tmp_path) / "mine" / ENTRY).write_text(text)
    with pytest.raises(ConfigurationError, match=rf"mine/entry.json: .*{said}.*textmill models remove mine"):
        catalogue(tmp_path)


def test_an_entry_under_another_name_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "mine")
    (models_folder(tmp_path) / "mine").rename(models_folder(tmp_path) / "other")
    with pytest.raises(ConfigurationError, match="it is of the model 'mine'"):
        read_installed(tmp_path)


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "textmill-qa", task=Task.QA)
    with pytest.raises(ConfigurationError, match=r"two models are named 'textmill-qa'.*models add"):
        catalogue(tmp_path)
