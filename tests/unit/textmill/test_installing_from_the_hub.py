"""Models of the hub, whose client answers here without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi, errors

from textmill.errors import NotAModel, NotInstalled
from textmill.installing.install import find

FILES = {
    "config.json": b"{}", "model.safetensors": b"numbers", "tokenizer.json": b"{}", "README.md": b"A card.",
    "pytorch_model.bin": b"a pickle", "modeling_x.py": b"raise SystemExit", "onnx/model.onnx": b"more",
}  # fmt: skip


class Hub:
    """One repository: what its page says, and what arrives."""

    def __init__(self) -> None:
        self.sent = dict(FILES)
        self.asked: list[str] = []
        self.fails: Exception | None = None

    def info(self, repository: str, **_options: Any) -> Any:
        if self.fails is not None:
            raise self.fails
        siblings = [
            SimpleNamespace(rfilename=name, size=len(content), lfs=self._lfs(name, content))
            for name, content in FILES.items()
        ]
        return SimpleNamespace(siblings=siblings, sha="c0ffee", card_data=SimpleNamespace(license="mit"))

    def download(self, repository: str, name: str, *, revision: str, local_dir: Path) -> str:
        self.asked.append(f"{repository}@{revision}/{name}")
        path = Path(local_dir) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.sent[name])
        return str(path)

    @staticmethod
    def _lfs(name: str, content: bytes) -> Any:
        return SimpleNamespace(sha256=hashlib.sha256(content).hexdigest()) if "safetensors" in name else None


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "model_info", made.info)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", made.download)
    return made


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return tmp_path


def test_one_commit_is_told_and_then_taken_without_pickles_and_code(hub: Hub, draft: Path) -> None:
    offer = find("owner/some-model@main")
    assert (offer.name, offer.licence, offer.source) == ("some-model", "mit", "owner/some-model@c0ffee")
    assert offer.download_bytes == len(b"{}" + b"numbers" + b"{}" + b"A card.")
    assert set(offer.left_out) == {"pytorch_model.bin", "modeling_x.py"}
    assert hub.asked == []  # nothing before somebody agrees
    files = offer.fetch(draft)
    assert files.gguf is None
    assert sorted(path.name for path in files.folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    assert all(asked.startswith("owner/some-model@c0ffee/") for asked in hub.asked)


def test_weights_of_another_hash_are_refused(hub: Hub, draft: Path) -> None:
    hub.sent["model.safetensors"] = b"others"
    with pytest.raises(NotInstalled, match=r"model.safetensors arrived with sha256:.*and the hub names"):
        find("owner/some-model").fetch(draft)


def _response(status: int) -> Any:
    import httpx2

    return httpx2.Response(status, request=httpx2.Request("GET", "https://hub.test"))


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (
            errors.RepositoryNotFoundError("no such", response=_response(404)),
            NotAModel,
            "the hub has no owner/m",
        ),
        (errors.GatedRepoError("gated", response=_response(403)), NotInstalled, "agreed to its terms"),
        (
            errors.HfHubHTTPError("busy", response=_response(503)),
            NotInstalled,
            "the hub refuses owner/m: busy",
        ),
        (ConnectionError("no route"), NotInstalled, r"cannot be reached \(no route\)"),
    ],
)
def test_what_the_hub_says_is_told_with_what_to_do(
    hub: Hub, raised: Exception, kind: type[Exception], said: str
) -> None:
    hub.fails = raised
    with pytest.raises(kind, match=said):
        find("owner/m")


def test_offline_the_cache_is_looked_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, draft: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached = tmp_path / "c0ffee"
    cached.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (cached / name).write_bytes(FILES[name])
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_args, **_options: str(cached))
    offer = find("owner/some-model")
    assert (offer.name, offer.source, offer.is_downloaded) == ("some-model", "owner/some-model@c0ffee", False)
    assert len(list(offer.fetch(draft).folder.iterdir())) == 3

    def absent(*_args: Any, **_options: Any) -> str:
        raise errors.LocalEntryNotFoundError("not there")

    monkeypatch.setattr("huggingface_hub.snapshot_download", absent)
    with pytest.raises(NotInstalled, match="HF_HUB_OFFLINE is set, and owner/some-model is not in the cache"):
        find("owner/some-model")
