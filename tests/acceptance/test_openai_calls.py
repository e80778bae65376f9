"""Single calls of the stock client on the real stack, with keys: what is streamed, stored and generated is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI

from tests.acceptance.conftest import CHAT_MODEL, GUARDED_KEY
from tests.support.chat_model import chat_alone, text_alone
from tests.support.openai_client import stock_client
from tests.support.waiting import wait_until
from textmill.stack.background import BackgroundStack

CHAT: list[Any] = [
    {"role": "system", "content": "You are helpful."},
    {"role": "user", "content": "Hello world!"},
]
#: The tiny model reads 128 tokens; it shall not end before its limit.
LONG: dict[str, Any] = {"max_tokens": 90, "extra_body": {"min_new_tokens": 90}}


@pytest.fixture
def client(guarded: BackgroundStack) -> OpenAI:
    return stock_client(guarded.url, key=GUARDED_KEY, retries=2)


def stored(guarded: BackgroundStack, answer_id: str) -> dict[str, Any]:
    """The one result of the job that a call is."""
    job = f"job_{answer_id.split('-')[1]}"
    lines = httpx2.get(
        f"{guarded.url}/v1/jobs/{job}/results",
        headers={"Authorization": f"Bearer {GUARDED_KEY}"},
        trust_env=False,
    )
    result: dict[str, Any] = lines.json()
    return result


def test_a_chat_streamed_stored_and_by_transformers_is_the_same(
    client: OpenAI, guarded: BackgroundStack, chat_folder: Path
) -> None:
    """Issue 21: tokens as they are decoded, text streamed == text stored == transformers' own."""
    (text, reason), num_prompt, num_new = chat_alone(chat_folder, CHAT, max_new_tokens=90, min_new_tokens=90)
    chunks = list(
        client.chat.completions.create(
            model=CHAT_MODEL, messages=CHAT, stream=True, stream_options={"include_usage": True}, **LONG
        )
    )
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert "".join(pieces) == text
    assert len(pieces) > 1, "it came at once"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (num_prompt, num_new)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == reason
    result = stored(guarded, chunks[0].id)
    assert (result["output"]["text"], result["output"]["finish_reason"]) == (text, reason)
    whole = client.chat.completions.create(model=CHAT_MODEL, messages=CHAT, **LONG)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (text, reason)
    assert whole.usage == chunks[-1].usage


def test_a_stop_string_is_cut_off_and_never_shown(client: OpenAI, chat_folder: Path) -> None:
    (text, _), _, _ = text_alone(chat_folder, "I enjoy walking", max_new_tokens=90, min_new_tokens=90)
    stop = next(found for at in range(20, len(text)) if (found := text[at : at + 3]).isascii())
    right = text[: text.index(stop)]
    ask: dict[str, Any] = {
        "model": CHAT_MODEL,
        "prompt": "I enjoy walking",
        "stop": [stop, "never said"],
        **LONG,
    }
    whole = client.completions.create(**ask)
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (right, "stop")
    shown = "".join(each.choices[0].text for each in client.completions.create(**ask, stream=True))
    assert shown == right


def test_a_seed_draws_the_same_texts_streamed_or_not(client: OpenAI) -> None:
    ask: dict[str, Any] = {"model": CHAT_MODEL, "prompt": "I enjoy", "temperature": 1.5, **LONG}
    first, again, other = (client.completions.create(**ask, seed=seed).choices[0].text for seed in (7, 7, 8))
    assert first == again != other
    assert (
        "".join(each.choices[0].text for each in client.completions.create(**ask, seed=7, stream=True))
        == first
    )
    several = client.completions.create(**ask, seed=7, n=3)
    assert len({choice.text for choice in several.choices}) == 3
    texts = ["", "", ""]
    for chunk in client.completions.create(**ask, seed=7, n=3, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [choice.text for choice in several.choices]


def test_errors_of_each_kind(client: OpenAI, guarded: BackgroundStack) -> None:
    with pytest.raises(AuthenticationError):
        stock_client(guarded.url, key="not-a-key-of-anybody-here").completions.create(
            model=CHAT_MODEL, prompt="x"
        )
    with pytest.raises(NotFoundError) as caught:
        client.completions.create(model="gpt-9", prompt="x")
    assert caught.value.code == "model_not_found"
    for is_streamed in (False, True):  # only the worker knows how many tokens a text has
        with pytest.raises(BadRequestError) as refused:
            client.completions.create(
                model=CHAT_MODEL, prompt="word " * 500, max_tokens=5, stream=is_streamed
            )
        assert refused.value.code == "too_long"
    with pytest.raises(BadRequestError, match="logprobs"):
        client.completions.create(model=CHAT_MODEL, prompt="x", logprobs=2)


def test_who_leaves_a_stream_cancels_its_job(client: OpenAI, guarded: BackgroundStack) -> None:
    stream = client.completions.create(
        model=CHAT_MODEL, prompt="I enjoy", stream=True, n=16, temperature=1.0, **LONG
    )
    stream.close()
    headers = {"Authorization": f"Bearer {GUARDED_KEY}"}

    def newest() -> str:
        jobs = httpx2.get(f"{guarded.url}/v1/jobs?limit=1", headers=headers, trust_env=False).json()
        return str(jobs["data"][0]["status"])

    wait_until(lambda: newest() in ("cancelled", "completed"), what="the job has ended")


def test_calls_without_keys_on_the_bundled_models(stack: BackgroundStack) -> None:
    client = stock_client(stack.url)
    ask: dict[str, Any] = {"model": "generation", "prompt": "Once upon a time", "max_tokens": 40}
    ask["model"] = next(m.id for m in client.models.list() if m.task == "generation")  # type: ignore[attr-defined]
    whole = client.completions.create(**ask, temperature=0).choices[0].text
    shown = [each.choices[0].text for each in client.completions.create(**ask, temperature=0, stream=True)]
    assert "".join(shown) == whole
    answer = httpx2.post(f"{stack.url}/v1/sentiment", json={"input": "A warm, funny film."}, trust_env=False)
    assert answer.json()["label"] == "POSITIVE"
