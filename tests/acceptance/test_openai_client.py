"""Scripts for OpenAI's batches, on the real stack, with another base URL and nothing else changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openai import NotFoundError, OpenAI
from openai.types import Batch

from tests.acceptance.conftest import CHAT_MODEL, GUARDED_KEY, Cli
from tests.support.chat_model import chat_alone
from tests.support.openai_client import as_file, line, read_lines, stock_client
from tests.support.waiting import wait_until
from textmill.stack.background import BackgroundStack

#: As the public documentation of batches has it: two requests, of which the second's system message differs.
EXAMPLE = [
    line(
        f"request-{n}",
        "/v1/chat/completions",
        {
            "model": CHAT_MODEL,
            "messages": [
                {"role": "system", "content": f"You are {kind} assistant."},
                {"role": "user", "content": "Hello world!"},
            ],
            "max_tokens": 12,
        },
    )
    for n, kind in ((1, "a helpful"), (2, "an unhelpful"))
]


def ended(client: OpenAI, batch_id: str) -> Batch:
    """The batch once nothing more happens to it."""

    def is_over() -> bool:
        return client.batches.retrieve(batch_id).status in ("completed", "failed", "expired", "cancelled")

    wait_until(is_over, timeout_seconds=300, what="the batch has ended")
    return client.batches.retrieve(batch_id)


def test_the_documented_example_runs_with_another_base_url(
    guarded: BackgroundStack, chat_folder: Path
) -> None:
    """Issue 21: an openai-python batch script from the public documentation, with keys on."""
    client = stock_client(guarded.url, key=GUARDED_KEY, retries=2)
    batch_input_file = client.files.create(file=as_file(EXAMPLE), purpose="batch")
    batch = client.batches.create(
        input_file_id=batch_input_file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"description": "nightly eval job"},
    )
    assert batch.errors is None, batch.errors
    batch = ended(client, batch.id)
    assert batch.status == "completed"
    lines = read_lines(client.files.content(str(batch.output_file_id)).text)
    assert [each["custom_id"] for each in lines] == ["request-1", "request-2"]
    for asked, found in zip(EXAMPLE, lines, strict=True):
        body = found["response"]["body"]
        choice = body["choices"][0]
        wanted, num_prompt, num_new = chat_alone(chat_folder, asked["body"]["messages"])
        assert (choice["message"]["content"], choice["finish_reason"]) == wanted
        assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (num_prompt, num_new)
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(
        each["response"]["body"]["usage"]["prompt_tokens"] for each in lines
    )


def test_a_day_with_the_stock_client(stack: BackgroundStack, textmill: Cli) -> None:
    """Upload, create, poll, list, download, cancel, delete, without keys; the command line sees the same job."""
    client = stock_client(stack.url)
    lines = [
        line("s", "/v1/sentiment", {"input": "A warm, funny, engaging film."}),
        line("q", "/v1/answers", {"question": "Who wrote it?", "context": "The report was written by Ada."}),
        line("t", "/v1/translations", {"input": "The weather is nice today."}),
        line(
            "g", "/v1/completions", {"prompt": "I enjoy walking", "max_tokens": 5, "temperature": 0, "n": 1}
        ),
    ]
    file = client.files.create(file=as_file(lines), purpose="batch")
    batch = ended(
        client,
        client.batches.create(input_file_id=file.id, endpoint="/v1/*", completion_window="24h").id,  # type: ignore[arg-type]
    )
    assert batch.error_file_id is None
    output = client.files.content(str(batch.output_file_id)).text
    bodies = {each["custom_id"]: each["response"]["body"] for each in read_lines(output)}
    assert bodies["s"]["label"] == "POSITIVE"
    assert bodies["q"]["answer"] == "Ada"
    assert bodies["t"]["object"] == "translation"
    assert bodies["g"]["choices"][0]["finish_reason"] in ("stop", "length")
    told = json.loads(textmill("status", batch.id.replace("batch_", "job_"), "--json").stdout)
    assert (told["status"], told["counts"]["succeeded"]) == ("completed", 4)
    assert file.id in {each.id for each in client.files.list(limit=1)}
    assert batch.id in {each.id for each in client.batches.list(limit=1)}
    many = [line(f"{n}", "/v1/completions", {"prompt": "Once", "max_tokens": 400}) for n in range(300)]
    long = client.batches.create(
        input_file_id=client.files.create(file=as_file(many), purpose="batch").id,
        endpoint="/v1/completions",
        completion_window="24h",
    )
    assert client.batches.cancel(long.id).status in ("cancelling", "cancelled")
    long = ended(client, long.id)
    left = read_lines(client.files.content(str(long.error_file_id)).text)
    assert {each["error"]["code"] for each in left} == {"batch_cancelled"}
    for each in (file.id, str(batch.output_file_id)):
        assert client.files.delete(each).deleted
        with pytest.raises(NotFoundError):
            client.files.retrieve(each)
