"""Issue 21.4: a worker ends the job, the API tells of it, the unchanged openai client verifies it."""

from __future__ import annotations

from openai import OpenAI

from tests.acceptance.conftest import Cli
from tests.support.hooks import Receiver
from tests.support.openai_client import line, stock_client
from tests.support.waiting import wait_until
from textmill.stack.background import BackgroundStack


def test_a_batch_is_told_of_and_verified_by_the_stock_client(stack: BackgroundStack, textmill: Cli) -> None:
    client = stock_client(stack.url)
    with Receiver() as receiver:
        secret = textmill("webhooks", "create", receiver.url).stdout.strip()
        batch = client.batches.create(
            input_file_id=None,  # type: ignore[arg-type]
            endpoint="/v1/sentiment",  # type: ignore[arg-type]
            completion_window="24h",
            extra_body={"requests": [line("s", "/v1/sentiment", {"input": "A warm, funny, engaging film."})]},
        )
        wait_until(
            lambda: any(each.event["data"]["id"] == batch.id for each in receiver.got), what="it is told"
        )
        told = next(each for each in receiver.got if each.event["data"]["id"] == batch.id)
        event = OpenAI(api_key="unused", webhook_secret=secret).webhooks.unwrap(told.body, told.headers)
        assert event.type == "batch.completed"
        assert client.batches.retrieve(event.data.id).status == "completed"
        webhook = textmill("webhooks", "list", "--json").stdout
        assert receiver.url in webhook
        assert secret not in webhook
