"""Chats over HTTP."""

from __future__ import annotations

import json

from tests.unit.api.conftest import Api

CHAT = [{"role": "user", "content": "¡Hola!"}]


def test_chats_come_as_json_and_as_lines_and_are_stored(api: Api) -> None:
    rows = [{"messages": CHAT}, {"text": "plain"}]
    as_json = api.http.post("/v1/jobs", json={"task": "generation", "documents": rows})
    as_lines = api.http.post(
        "/v1/jobs?task=generation",
        content="\n".join(map(json.dumps, rows)),
        headers={"Content-Type": "application/x-ndjson"},
    )
    for answer in (as_json, as_lines):
        assert answer.status_code == 202, answer.text
        tickets = api.store.take_window(job_id=answer.json()["id"], window=9, resend_after_seconds=0.0)
        leases = [api.store.claim(ticket.key, worker_id="w", lease_seconds=30) for ticket in tickets]
        documents = [document for lease in leases if lease for document in lease.documents]
        assert [(each.text, each.messages) for each in documents] == [("", CHAT), ("plain", None)]


def test_a_wrong_chat_is_refused_with_its_row_and_place(api: Api) -> None:
    rows = [{"text": "fine"}, {"messages": [{"role": "user", "content": None}]}]
    answer = api.http.post("/v1/jobs", json={"task": "generation", "documents": rows})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["line"], error["field"]) == (2, "messages[0].content")


def test_a_single_chat_is_sent_like_a_single_text(api: Api) -> None:
    answer = api.http.post("/v1/jobs", json={"task": "generation", "messages": CHAT})
    assert answer.status_code == 202, answer.text
    (ticket,) = api.store.take_window(job_id=answer.json()["id"], window=9, resend_after_seconds=0.0)
    lease = api.store.claim(ticket.key, worker_id="w", lease_seconds=30)
    assert lease is not None
    assert lease.documents[0].messages == CHAT
    both = api.http.post("/v1/jobs", json={"task": "generation", "messages": CHAT, "text": "x"})
    assert (both.status_code, "messages" in both.json()["detail"]) == (422, True)
