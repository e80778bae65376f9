"""What a key is made of, and what may be seen of it; digests against Python's own HMAC."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from jobs.keys import (
    Caller,
    KeyHasher,
    Origin,
    make_key,
    project_of,
    shown_prefix,
    shown_project,
    why_not_a_key,
)

GIVEN = "0123456789abcdef"


def test_a_made_key_shows_eleven_characters_and_one_that_somebody_chose_four() -> None:
    """Eleven of a chosen key of sixteen would be most of it."""
    made = make_key()
    assert shown_prefix(made) == made[:11]
    assert shown_prefix(GIVEN) == "0123"
    assert shown_prefix(made + "x") == made[:4]


def test_keys_differ_and_can_be_sent() -> None:
    keys = {make_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(key.startswith("tm_") and why_not_a_key(key) is None for key in keys)


def test_what_is_kept_is_an_hmac_under_the_secret() -> None:
    hasher = KeyHasher(b"s" * 32)
    expected = hmac.new(b"s" * 32, b"textmill key:" + GIVEN.encode(), hashlib.sha256).hexdigest()
    assert hasher.digest(GIVEN) == expected
    assert hasher.secret_id != KeyHasher(b"t" * 32).secret_id
    assert len(hasher.secret_id) == 16


@pytest.mark.parametrize(
    ("project", "origin", "has_fingerprint"),
    [("p", Origin.SETTINGS, True), ("p", Origin.MADE, False), (None, Origin.SETTINGS, False)],
)
def test_only_a_projects_key_of_the_settings_had_jobs_in_0_1_0(
    project: str | None, origin: Origin, has_fingerprint: bool
) -> None:
    hasher = KeyHasher(b"s" * 32)
    new = hasher.new(GIVEN, name="n", project=project, origin=origin)
    told = (new.name, new.project, new.digest, new.secret_id, new.prefix, new.origin)
    assert told == ("n", project, hasher.digest(GIVEN), hasher.secret_id, "0123", origin)
    assert new.fingerprint == (hashlib.sha256(GIVEN.encode()).hexdigest()[:32] if has_fingerprint else None)


@pytest.mark.parametrize("name", ["default", "p"])
def test_a_projects_name_and_what_owns_its_jobs_mean_each_other(name: str) -> None:
    assert shown_project(project_of(name)) == name
    assert (project_of(name) == "") == (name == "default")


def test_an_administrator_owns_what_he_submits_without_a_project() -> None:
    assert (Caller(project=None).is_admin, Caller(project=None).owner) == (True, "")
    assert (Caller(project="p").is_admin, Caller(project="p").owner) == (False, "p")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("a" * 15, "holds a key of 15 characters, which can be guessed: use at least 16"),
        ("ä" * 16, "holds a key with characters that a header cannot carry"),
        ("a b" * 16, "holds a key with characters that a header cannot carry"),
        ("a" * 16, None),
        ("!~" * 8, None),
    ],
)
def test_a_key_that_can_be_guessed_or_not_be_sent_is_refused_without_being_told(
    key: str, told: str | None
) -> None:
    answer = why_not_a_key(key)
    assert (answer or "").startswith(told or "")
    assert (answer is None) == (told is None)
    assert key not in (answer or "")
