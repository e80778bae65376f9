"""Projects and keys in SQL."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from jobs.errors import ConfigurationError, JobNotFound, KeyConflict, KeyNotFound, ProjectNotFound
from jobs.keys import MIN_KEY_CHARACTERS, fingerprint
from jobs.records import NewJob
from jobs.secret import server_secret
from jobs.settings import Settings
from jobs.store.database import Database
from jobs.store.key_book import KeyBook, OpenHouse, open_key_book
from jobs.store.migrate import migrate
from jobs.store.sql import SqlStore
from tests.support.ledger import Ledger, back_to, documents, in_threads

ADMIN, ALPHA, BETA = (name * MIN_KEY_CHARACTERS for name in "zab")


@pytest.fixture
def make_book(ledger: Ledger, tmp_path: Path) -> Callable[..., KeyBook]:
    """Another process of the same installation each time it is called."""

    def make(**settings: object) -> KeyBook:
        loaded = Settings.load(**{"data": tmp_path, "admin_key": ADMIN, **settings})
        book = open_key_book(loaded, ledger.store.database)
        assert isinstance(book, KeyBook)
        return book

    return make


def test_what_is_kept_of_a_key_does_not_tell_it(make_book: Callable[..., KeyBook], ledger: Ledger) -> None:
    """S23: the owner of a job was the plain hash of its key."""
    book = make_book(api_keys=ALPHA)
    book.open()
    _, made = book.add("ci", project="default")
    with ledger.store.database.engine.connect() as connection:
        rows = str(connection.execute(text("SELECT * FROM api_key")).all())
        rows += str(connection.execute(text("SELECT * FROM project")).all())
    for key in (ADMIN, ALPHA, made):
        assert key not in rows
        assert fingerprint(key) not in rows
        assert key[:4] in rows


def test_a_key_holds_and_ends_at_once_in_every_process(make_book: Callable[..., KeyBook]) -> None:
    here, there = make_book(), make_book()
    here.add_project("reviews", limits={})
    made, key = here.add("ci", project="reviews")
    caller = there.identify(key)
    assert caller is not None
    assert (caller.owner, caller.key_id, caller.is_admin) == ("reviews", made.id, False)
    there.revoke(made.id)
    assert here.identify(key) is None
    there.revoke(made.id)  # again changes nothing
    with pytest.raises(KeyNotFound):
        here.revoke("key_unknown")


def test_a_rotated_key_leaves_project_and_jobs_where_they_are(
    make_book: Callable[..., KeyBook], ledger: Ledger
) -> None:
    """L20: a key was rotated, and its jobs were lost to their owner."""
    book = make_book(api_keys=ALPHA)
    caller = book.identify(ALPHA)
    assert caller is not None
    job = ledger.submit(2, owner=caller.owner, api_key=caller.key_id)
    rotated, key = book.rotate(str(caller.key_id), overlap_seconds=0.0)
    assert book.identify(ALPHA) is None
    again = book.identify(key)
    assert again is not None
    assert ledger.store.get_job(job.id, owner=again.owner).id == job.id
    with pytest.raises(KeyConflict, match="ended"):
        book.rotate(str(caller.key_id), overlap_seconds=0.0)
    # the settings still name the old key, and a new process does not bring it back
    assert make_book(api_keys=ALPHA).identify(ALPHA) is None
    _, last = book.rotate(rotated.id, overlap_seconds=60.0)
    assert book.identify(key) == again
    assert book.identify(last) is not None
    ledger.clock.advance(61)
    assert book.identify(key) is None


def test_keys_of_the_settings_are_apart_and_hold_where_they_are_set(
    make_book: Callable[..., KeyBook],
) -> None:
    both, one = make_book(api_keys=f"{ALPHA},{BETA}"), make_book(api_keys=BETA)
    assert both.open() == "keys: 3 (1 of administrators, the others of 2 project(s))"
    alpha, beta = both.identify(ALPHA), both.identify(BETA)
    assert alpha is not None
    assert beta is not None
    assert alpha.owner != beta.owner
    assert one.identify(ALPHA) is None  # taken out of the settings
    assert one.identify(BETA) == beta
    assert both.identify(ALPHA) == alpha  # and put back: its project is the same
    assert both.identify(ALPHA[:-1]) is both.identify("") is both.identify(None) is None
    assert both.identify("x" * 1_000_000) is None


def test_a_key_does_not_become_an_administrators_nor_stay_one_by_moving_in_the_settings(
    make_book: Callable[..., KeyBook],
) -> None:
    make_book(api_keys=ALPHA).open()
    promoted, demoted = make_book(admin_key=ALPHA), make_book(admin_key=BETA, api_keys=ADMIN)
    for book, key in ((promoted, ALPHA), (demoted, ADMIN)):
        assert book.identify(key) is None
        with pytest.raises(ConfigurationError, match="take a new one"):
            book.open()


def test_an_administrator_sees_jobs_of_every_project(ledger: Ledger) -> None:
    first, second = ledger.submit(1, owner="a"), ledger.submit(1, owner="b")
    found, _ = ledger.store.list_jobs(owner=None)
    assert [job.id for job in found] == [second.id, first.id]
    page, cursor = ledger.store.list_jobs(owner=None, limit=1)
    assert [job.id for job in page] == [second.id]
    assert [job.id for job in ledger.store.list_jobs(owner=None, after=cursor)[0]] == [first.id]
    assert ledger.store.owner_of(first.id) == "a"
    with pytest.raises(JobNotFound):
        ledger.store.owner_of("job_unknown")


def test_the_last_administrator_stays_and_names_are_used_once(make_book: Callable[..., KeyBook]) -> None:
    book = make_book()
    admin = book.identify(ADMIN)
    assert admin is not None
    assert admin.is_admin
    with pytest.raises(KeyConflict, match="last"):
        book.revoke(str(admin.key_id))
    book.add("second", project=None)
    book.revoke(str(admin.key_id))
    assert book.identify(ADMIN) is None
    with pytest.raises(KeyConflict, match="second"):
        book.add("second", project=None)
    with pytest.raises(ProjectNotFound, match="nowhere"):
        book.add("ci", project="nowhere")
    book.add_project("reviews", limits={})
    for taken in ("reviews", "default"):
        with pytest.raises(KeyConflict, match=taken):
            book.add_project(taken, limits={})
    assert [project.name for project in book.all_projects()] == ["default", "reviews"]


def test_processes_that_adopt_one_key_at_once_make_one_project(
    make_book: Callable[..., KeyBook],
) -> None:
    books = [make_book(api_keys=ALPHA) for _ in range(4)]
    in_threads(lambda: books.pop().open(), 4)
    book = make_book(api_keys=ALPHA)
    assert len(book.all_keys()) == 2
    assert len(book.all_projects()) == 2


def test_another_secret_is_refused_before_it_hides_the_keys(make_book: Callable[..., KeyBook]) -> None:
    """L20: a key that is not known again would get a project of its own, without its jobs."""
    make_book(api_keys=ALPHA).open()
    stranger = make_book(api_keys=ALPHA, secret="another secret of at least 32 characters")
    for attempt in (stranger.open, lambda: stranger.identify(ALPHA)):
        with pytest.raises(ConfigurationError, match="TEXTMILL_SECRET"):
            attempt()


def test_a_server_without_keys_does_not_start_over_keys_that_were_made(
    make_book: Callable[..., KeyBook], ledger: Ledger, tmp_path: Path
) -> None:
    """S8: forgetting a setting must not open the door."""
    open_house = open_key_book(Settings.load(data=tmp_path), ledger.store.database)
    assert isinstance(open_house, OpenHouse)
    book = make_book()
    assert open_house.open() == "no keys: open to everybody on this host"
    made, _ = book.add("ci", project="default")
    with pytest.raises(ConfigurationError, match="TEXTMILL_ADMIN_KEY"):
        open_house.open()
    book.revoke(made.id)
    open_house.open()


def test_the_secret_is_its_owners_only_and_stays(tmp_path: Path) -> None:
    settings = Settings.load(data=tmp_path / "data")
    found: list[bytes] = []
    in_threads(lambda: found.append(server_secret(settings)), 8)
    path = settings.data / "secret.key"
    assert set(found) == {path.read_bytes().strip()}
    assert len(found) == 8
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in settings.data.iterdir()] == ["secret.key"]
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        server_secret(settings)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(ConfigurationError, match="copy"):
        server_secret(settings)


@pytest.mark.parametrize("keys_come", ["at the start", "when they are used"])
def test_jobs_of_0_1_0_stay_with_the_key_that_submitted_them(
    database_url: str, tmp_path: Path, keys_come: str
) -> None:
    """L20: an upgrade; in 0.1.0 the owner of a job was `sha256(key)[:32]`."""
    database = Database(database_url)
    # as `api/context.py` of 0.1.0 computed it; "": submitted without a key
    owners = {key: hashlib.sha256(key.encode()).hexdigest()[:32] if key else "" for key in (ALPHA, BETA, "")}
    _with_old_schema(database, owners)
    migrate(database)
    store = SqlStore(database, slice_tokens=10_000, slice_documents=4)
    loaded = Settings.load(data=tmp_path, api_keys=f"{ALPHA} {BETA}", admin_key=ADMIN)
    book = open_key_book(loaded, database)
    assert isinstance(book, KeyBook)
    if keys_come == "at the start":
        book.open()
    for key in (ALPHA, BETA):
        caller = book.identify(key)
        assert caller is not None
        assert [job.id for job in store.list_jobs(owner=caller.owner)[0]] == [f"job_{key}"]
        assert store.get_job(f"job_{key}", owner=caller.owner).owner == caller.owner != fingerprint(key)
    assert [job.id for job in store.list_jobs(owner="")[0]] == ["job_"]
    with database.engine.connect() as connection:
        # turns are taken by the owner of slices
        strangers = "SELECT count(*) FROM slice JOIN job ON job.id = slice.job WHERE slice.owner <> job.owner"
        assert connection.execute(text(strangers)).scalar() == 0
        left = connection.execute(text("SELECT count(*) FROM project WHERE fingerprint IS NOT NULL")).scalar()
    assert left == 0
    # work goes on for them
    store.submit(NewJob(owner=caller.owner, api_key=caller.key_id), documents(1))
    assert len(store.list_jobs(owner=caller.owner)[0]) == 2
    store.close()


def _with_old_schema(database: Database, owners: dict[str, str]) -> None:
    """A database as 0.1.0 left it, with a job for each owner."""
    migrate(database)
    back_to(database, "0001")
    with database.engine.begin() as connection:
        for number, (key, owner) in enumerate(owners.items(), start=1):
            connection.execute(
                text(
                    "INSERT INTO job (public_id, owner, params, priority, metadata_json, status, total, succeeded, "
                    "failed, cancelled, expired, input_tokens, output_tokens, created_at, version) VALUES "
                    "(:id, :owner, '{}', 6, '{}', 'completed', 0, 0, 0, 0, 0, 0, 0, :at, 1)"
                ),
                {"id": f"job_{key}", "owner": owner, "at": 1_790_000_000.0 + number},
            )
        connection.execute(
            text(
                "INSERT INTO slice (job, number, task, model, priority, state, first_seq, last_seq, num_open, attempt, "
                "crash_count, isolate, available_at) "
                "SELECT id, 0, 'qa', 'm', 6, 'done', 0, 0, 0, 1, 0, false, 0 FROM job"
            )
        )
