"""Settings and the catalogue: where values come from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.catalogue import Catalogue
from jobs.errors import ConfigurationError, UnknownModel
from jobs.records import Task
from jobs.settings import Settings
from jobs.tasks import parse_task

ALPHA, BETA = "a" * 16, "b" * 16


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("TEXTMILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_without_any_setting_everything_lies_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings.load()
    assert settings.database == f"sqlite:///{tmp_path}/.textmill/textmill.db"
    assert settings.broker == f"redis+socket://{tmp_path}/.textmill/broker.sock?virtual_host=0"


def test_flags_win_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("TEXTMILL_PORT=1\nTEXTMILL_WINDOW=11\nTEXTMILL_CONCURRENCY=5\n")
    monkeypatch.setenv("TEXTMILL_PORT", "2")
    monkeypatch.setenv("TEXTMILL_WINDOW", "22")
    settings = Settings.load(port=3, host=None)
    assert (settings.port, settings.window, settings.concurrency) == (3, 22, 5)
    assert settings.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "eighty"), ("LEASE_SECONDS", "-1"), ("DTYPE", "float7"), ("DEVICE", "gpu"), ("WINDOW", "0")],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TEXTMILL_{name}", value)
    with pytest.raises(ConfigurationError, match=f"TEXTMILL_{name}"):
        Settings.load()


def test_secrets_can_come_from_files_and_are_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"{ALPHA}, {BETA}\n")
    monkeypatch.setenv("TEXTMILL_API_KEYS_FILE", str(tmp_path / "keys"))
    settings = Settings.load()
    assert [key.get_secret_value() for key in settings.api_keys] == [ALPHA, BETA]
    assert ALPHA not in repr(settings)
    monkeypatch.setenv("TEXTMILL_DATABASE_URL_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match="TEXTMILL_DATABASE_URL_FILE"):
        Settings.load()


@pytest.mark.parametrize("content", ["A,B", "A\nB\n", " A ,\r\n B", "A B,", "A B A"])
def test_keys_stand_apart_by_commas_or_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """S23: two lines of a file became one key with a line end in it."""
    (tmp_path / "keys").write_bytes(content.replace("A", ALPHA).replace("B", BETA).encode())
    monkeypatch.setenv("TEXTMILL_API_KEYS_FILE", str(tmp_path / "keys"))
    assert [key.get_secret_value() for key in Settings.load().api_keys] == [ALPHA, BETA]


@pytest.mark.parametrize("content", ["", ",", " \n", ", ,"])
def test_keys_that_were_asked_for_and_are_none_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """S8: an empty file of keys meant no keys, and everybody could enter."""
    (tmp_path / "keys").write_text(content)
    monkeypatch.setenv("TEXTMILL_API_KEYS_FILE", str(tmp_path / "keys"))
    with pytest.raises(ConfigurationError, match="TEXTMILL_API_KEYS"):
        Settings.load()
    monkeypatch.delenv("TEXTMILL_API_KEYS_FILE")
    monkeypatch.setenv("TEXTMILL_API_KEYS", content)
    with pytest.raises(ConfigurationError, match="TEXTMILL_API_KEYS"):
        Settings.load()


@pytest.mark.parametrize(
    "name", ["TEXTMILL_API_KEYS_FILE", "textmill_admin_key_file", "TEXTMILL_SECRET_FILE"]
)
@pytest.mark.parametrize("where", ["environment", ".env"])
@pytest.mark.parametrize(
    ("value", "message"),
    [("", "names no file"), ("missing", "cannot read"), ("utf-16", "no text"), ("empty", "")],
)
def test_a_file_of_secrets_that_gives_none_is_refused_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str, value: str, message: str
) -> None:
    """S8: named by an empty variable, in `.env` or in small letters it was passed over, and the door stayed open."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "utf-16").write_text(ALPHA, encoding="utf-16")
    (tmp_path / "empty").touch()
    if where == ".env":
        (tmp_path / ".env").write_text(f"{name}={value}\n")
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigurationError, match=f"(?i){name.removesuffix('_file').removesuffix('_FILE')}.*{message}"
    ):
        Settings.load()


def test_a_file_of_keys_named_in_env_file_is_read_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S8: the line was passed over without a word."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text(ALPHA)
    (tmp_path / "b").write_text(BETA)
    (tmp_path / ".env").write_text("TEXTMILL_API_KEYS_FILE=a\n")
    assert [key.get_secret_value() for key in Settings.load().api_keys] == [ALPHA]
    monkeypatch.setenv("TEXTMILL_API_KEYS_FILE", "b")
    assert [key.get_secret_value() for key in Settings.load().api_keys] == [BETA]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TEXTMILL_DATABASE_URL", "", "empty"),
        ("TEXTMILL_REDIS_URL", " ", "empty"),
        ("TEXTMILL_API_KEYS", f"{ALPHA} short", "5 characters.*at least 16"),
        ("TEXTMILL_API_KEYS", f"{ALPHA}é", "header"),
        ("TEXTMILL_ADMIN_KEY", "x" * 15, "at least 16"),
        ("TEXTMILL_ADMIN_KEY", "", "at least 16"),
        ("TEXTMILL_ADMIN_KEY", "a b" * 9, "header"),
        ("TEXTMILL_ADMIN_KEY", BETA, "TEXTMILL_API_KEYS"),
        ("TEXTMILL_SECRET", "x" * 31, "32"),
    ],
)
def test_keys_that_can_be_guessed_or_not_be_sent_are_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """S23: a key of one character was accepted."""
    monkeypatch.setenv("TEXTMILL_API_KEYS", BETA)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=message) as refused:
        Settings.load()
    assert variable in str(refused.value)
    assert ALPHA not in str(refused.value)


def test_without_any_model_named_the_bundled_ones_are_served() -> None:
    catalogue = Catalogue.load(Settings.load())
    assert {entry.task: entry.ref for entry in catalogue.entries} == {
        task: f"bundled:{task}" for task in Task
    }
    assert catalogue.default(Task.QA).name == "textmill-qa"


def test_a_flag_replaces_the_bundled_model_of_its_task_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTMILL_MODELS", "translation=Helsinki-NLP/opus-mt-en-de@abc text-generation=gpt2")
    catalogue = Catalogue.load(Settings.load())
    translation = catalogue.default(Task.TRANSLATION)
    assert (translation.ref, translation.revision) == ("Helsinki-NLP/opus-mt-en-de", "abc")
    assert catalogue.default(Task.GENERATION).name == "gpt2"
    assert catalogue.default(Task.SENTIMENT).ref == "bundled:sentiment"


def test_the_file_gives_names_defaults_and_pins(tmp_path: Path) -> None:
    (tmp_path / "textmill.toml").write_text(
        '[[models]]\ntask = "qa"\nref = "/srv/a"\n\n'
        '[[models]]\nname = "mine"\ntask = "qa"\nref = "/srv/b"\ndefault = true\npinned = true\n'
    )
    catalogue = Catalogue.load(Settings.load())
    assert catalogue.default(Task.QA).name == "mine"
    assert catalogue.get("mine").pinned
    assert catalogue.get("a").ref == "/srv/a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[models]\n", "textmill.toml"),
        ('[[models]]\ntask = "qa"\n', "ref"),
        ('[[models]]\ntask = "poetry"\nref = "x"\n', "task"),
        ('[[models]]\ntask = "qa"\nref = "x"\nspeed = "fast"\n', "speed"),
        ('[[models]]\ntask = "qa"\nref = "x"\ndevice = "gpu1"\n', "device"),
        ('[[models]]\ntask = "qa"\nref = "x"\ndtype = "float7"\n', "dtype"),
        ('[[models]]\ntask = "qa"\nref = "x"\n[[models]]\ntask = "qa"\nref = "x"\n', "two models"),
    ],
)
def test_a_wrong_table_says_what_is_wrong_with_it(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "textmill.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        Catalogue.load(Settings.load())


@pytest.mark.parametrize(
    "flag", ["gpt2", "generation=", "poetry=gpt2", "translation_en_to_fr=t5-small", "translation_xx_to_yy=t5"]
)
def test_a_wrong_flag_is_quoted(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.setenv("TEXTMILL_MODELS", flag)
    with pytest.raises(ConfigurationError, match=flag):
        Catalogue.load(Settings.load())


def test_an_unlisted_model_is_unknown_and_the_listed_ones_are_named() -> None:
    with pytest.raises(UnknownModel, match="textmill-sentiment"):
        Catalogue.load(Settings.load()).get("../../etc/passwd")


def test_queues_are_safe_and_distinct_for_names_that_look_alike() -> None:
    from jobs.catalogue import ModelEntry

    names = ["a/b", "a-b", "a:b", "a b", "模型"]
    queues = {ModelEntry(name=name, task=Task.QA, ref="x").queue for name in names}
    assert len(queues) == len(names)
    assert all(queue.isascii() and " " not in queue and "/" not in queue for queue in queues)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("sentiment-analysis", Task.SENTIMENT),
        ("text-classification", Task.SENTIMENT),
        ("text-generation", Task.GENERATION),
        ("translation_en_to_de", Task.TRANSLATION),
        ("question-answering", Task.QA),
    ],
)
def test_the_names_of_transformers_pipelines_are_understood(name: str, task: Task) -> None:
    assert parse_task(name) is task


@pytest.mark.parametrize(
    ("device", "served"),
    [("cuda:1", {"any", "auto", "one"}), ("cuda:0", {"any", "auto"}), ("cpu", {"any", "auto"})],
)
def test_a_model_may_be_for_one_device(tmp_path: Path, device: str, served: set[str]) -> None:
    (tmp_path / "textmill.toml").write_text(
        '[[models]]\nname = "any"\ntask = "qa"\nref = "x"\n'
        '[[models]]\nname = "auto"\ntask = "qa"\nref = "x"\ndevice = "auto"\n'
        '[[models]]\nname = "one"\ntask = "qa"\nref = "x"\ndevice = "cuda:1"\n'
    )
    entries = Catalogue.load(Settings.load()).entries
    assert {entry.name for entry in entries if entry.task is Task.QA and entry.is_for(device)} == served
