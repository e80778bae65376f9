"""What one owner may have queued."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from tests.unit.api.conftest import Api

KEYS = "key-of-a-0123456789,key-of-b-0123456789"
A, B = ({"Authorization": f"Bearer {key}"} for key in KEYS.split(","))

MakeApi = Callable[..., Api]


def submit(
    api: Api, count: int = 1, *, who: dict[str, str] = A, key: str | None = None, **fields: Any
) -> Any:
    body = {"task": "sentiment", "documents": ["text"] * count, **fields}
    headers = who | ({"Idempotency-Key": key} if key else {})
    return api.http.post("/v1/jobs", json=body, headers=headers)


def test_s2_what_one_owner_may_have_queued_is_bounded_and_others_go_on(make_api: MakeApi) -> None:
    """S2: no bound of one key's own; 50 million documents of all was the only one."""
    api = make_api(api_keys=KEYS, max_owner_documents=5)
    first = submit(api, 4)
    assert first.status_code == HTTPStatus.ACCEPTED
    refused = submit(api, 2)
    assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert int(refused.headers["Retry-After"]) > 0
    assert "TEXTMILL_MAX_OWNER_DOCUMENTS" in refused.json()["detail"]
    assert submit(api, 5, who=B).status_code == HTTPStatus.ACCEPTED
    api.work_off(first.json()["id"], leaving=(0,))
    assert submit(api, 2).status_code == HTTPStatus.ACCEPTED


def test_s22_work_is_bounded_too_with_beams_and_sequences(make_api: MakeApi) -> None:
    """S22: one document of 64 sequences cost its key no more than one of one."""
    api = make_api(api_keys=KEYS, max_owner_tokens=10_000)
    asked = {"task": "generation", "params": {"max_new_tokens": 100, "do_sample": True}}
    assert submit(api, 5, **asked).status_code == HTTPStatus.ACCEPTED
    asked["params"] = {**asked["params"], "num_return_sequences": 8}  # type: ignore[dict-item]
    assert submit(api, 1, **asked).status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert submit(api, 1, who=B, **asked).status_code == HTTPStatus.ACCEPTED


def test_a_job_that_would_never_fit_is_refused_for_good(make_api: MakeApi) -> None:
    refused = submit(make_api(api_keys=KEYS, max_owner_documents=5), 6)
    assert refused.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert "6 documents" in refused.json()["detail"]
    assert "Retry-After" not in refused.headers


@pytest.mark.parametrize("bound", ["max_owner_documents", "max_owner_tokens"])
def test_a_repeat_is_answered_before_any_bound(make_api: MakeApi, bound: str) -> None:
    """L19's kind: a job that is there was refused to who asked for it again."""
    api = make_api(api_keys=KEYS, **{bound: 4})
    first = submit(api, 2, key="again")
    while submit(api, 1).status_code == HTTPStatus.ACCEPTED:
        pass
    repeat = submit(api, 2, key="again")
    assert (repeat.status_code, repeat.json()["id"]) == (HTTPStatus.ACCEPTED, first.json()["id"])


@pytest.mark.parametrize(
    "bounds", [{"max_owner_documents": 2}, {"max_owner_tokens": 5}, {"limits": "stored_bytes=120"}]
)
def test_equal_submits_that_come_together_are_one_job_also_where_two_would_be_too_much(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, Any]
) -> None:
    """L19's kind: the other one had no job yet when the bound was met, and was refused."""
    api = make_api(api_keys=KEYS, **bounds)
    look, first = api.store.backlog, list[Any]()

    def while_the_other_comes_in() -> Any:
        if not first:
            first.append(None)
            first[0] = submit(api, 2, key="again")
        return look()

    monkeypatch.setattr(api.store, "backlog", while_the_other_comes_in)
    second = submit(api, 2, key="again")
    assert [answer.status_code for answer in (first[0], second)] == [HTTPStatus.ACCEPTED] * 2
    assert first[0].json()["id"] == second.json()["id"]
    refused = submit(api, 2, key="another")
    assert refused.status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FORBIDDEN)


def test_interactive_documents_are_a_budget_and_what_is_beyond_goes_as_bulk_and_says_so(
    make_api: MakeApi,
) -> None:
    """S2: any key could say interactive for all it had, and so went before everybody."""
    api = make_api(api_keys=KEYS, max_interactive_documents=3)
    within = submit(api, 2, priority="interactive")
    assert within.json()["priority"] == "interactive"
    assert "Textmill-Note" not in within.headers
    beyond = submit(api, 2, priority="interactive")
    assert (beyond.status_code, beyond.json()["priority"]) == (HTTPStatus.ACCEPTED, "bulk")
    assert "TEXTMILL_MAX_INTERACTIVE_DOCUMENTS" in beyond.headers["Textmill-Note"]
    assert submit(api, 3, who=B, priority="interactive").json()["priority"] == "interactive"
    api.work_off(within.json()["id"])
    assert submit(api, 3, priority="interactive").json()["priority"] == "interactive"
