"""What was found out about a model is found out once."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.loading import registry
from models.proving.verdicts import digest, remembered
from tests.support.tiny_models import Loader


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_verdict_is_found_once_and_then_read(loaded: Loader) -> None:
    model = loaded("generation", "gpt2")
    tries: list[int] = []

    def find_out() -> dict[str, int]:
        tries.append(1)
        return {"tries": len(tries)}

    assert remembered(model, "decoding", find_out) == {"tries": 1}
    assert remembered(model, "decoding", find_out) == {"tries": 1}
    assert remembered(model, "something else", find_out) == {"tries": 2}


def test_another_default_of_generation_is_another_digest(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("generation", "gpt2")
    before = digest(model)
    monkeypatch.setattr(model.model.generation_config, "min_new_tokens", 3)
    assert digest(model) != before
    assert digest(loaded("generation", "llama")) != before


@pytest.mark.parametrize(("name", "value"), [("model_max_length", 20), ("model_input_names", ["input_ids"])])
def test_another_setting_of_the_tokenizer_is_another_digest(
    name: str, value: object, loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that a user changes in tokenizer_config.json was read from the verdict as it was before."""
    model = loaded("sentiment", "bert-classifier")
    before = digest(model)
    monkeypatch.setattr(model.tokenizer, name, value)
    assert digest(model) != before


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_file_is_as_none(loaded: Loader, cache: Path, content: str) -> None:
    model = loaded("generation", "gpt2")
    remembered(model, "decoding", lambda: {"is": "old"})
    (file,) = cache.rglob("*.json")
    file.write_text(content)
    assert remembered(model, "decoding", lambda: {"is": "new"}) == {"is": "new"}


def test_where_nothing_can_be_kept_the_verdict_holds_all_the_same(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    assert remembered(loaded("generation", "gpt2"), "decoding", lambda: {"is": "kept nowhere"})


def test_the_librarys_version_is_looked_up_once_a_model_not_once_a_document(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was parsed from the package's metadata for every document: half of sentiment's time."""
    model = loaded("sentiment", "bert-classifier")
    model.provenance  # noqa: B018
    monkeypatch.setattr(registry, "version", lambda name: pytest.fail(f"{name} was looked up again"))
    assert model.provenance["transformers"]
