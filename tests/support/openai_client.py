"""The stock `openai` client on an app in this process, and lines as its users write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2
from openai import OpenAI

Line = Mapping[str, Any]


def stock_client(
    base_url: str, *, key: str = "unused", http: httpx2.Client | None = None, retries: int = 0
) -> OpenAI:
    """Unchanged but for where it calls."""
    return OpenAI(base_url=f"{base_url}/v1", api_key=key, http_client=http, max_retries=retries)


def line(custom_id: str, url: str, body: Mapping[str, Any], **more: object) -> dict[str, Any]:
    """A request of a batch."""
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": dict(body), **more}


def chats(count: int, model: str = "noop:g", **body: object) -> list[dict[str, Any]]:
    """Requests for chat completions."""
    messages = [{"role": "user", "content": "Hello!"}]
    return [
        line(f"request-{n}", "/v1/chat/completions", {"model": model, "messages": messages, **body})
        for n in range(count)
    ]


def as_file(lines: Iterable[Line | str]) -> tuple[str, bytes]:
    """A file as the client takes it; strings are lines as they are."""
    return "batch.jsonl", "\n".join(
        each if isinstance(each, str) else json.dumps(each) for each in lines
    ).encode()


def read_lines(text: str) -> list[dict[str, Any]]:
    """The lines of an output file."""
    return [json.loads(each) for each in text.splitlines()]
