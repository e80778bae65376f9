"""What does not fit its model is refused at submission, once, with what would be accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.records import ModelFacts
from jobs.rows.fitting import misfits
from tests.unit.api.conftest import Api

ONE_PAIR = {
    "source_languages": [], "target_languages": [], "language_pair": "en-de",
    "needs_target_language": False, "samples_by_default": False, "beams_by_default": 4,
}  # fmt: skip
PREFIXES = {
    "languages": ["en_to_de", "en_to_fr", "fr_to_en"], "source_languages": ["en", "fr"],
    "target_languages": ["de", "en", "fr"], "needs_target_language": False,
}  # fmt: skip
MANY = {
    "source_languages": ["de_DE", "en_XX", "fr_XX"], "target_languages": ["de_DE", "en_XX", "fr_XX"],
    "needs_target_language": True,
}  # fmt: skip
GREEDY = {"samples_by_default": False, "beams_by_default": 1, "new_tokens_by_default": 128}
CHATS = {"samples_by_default": True, "beams_by_default": 1, "has_chat_template": True}
BROKEN = {"error": "cannot_load", "message": "m: there are no safetensors", "is_retryable": False}


@pytest.fixture
def knows(api: Api) -> Callable[..., Api]:
    """An API that was told facts of models, by workers that are gone."""

    def told(**facts: dict[str, Any]) -> Api:
        for letter, known in facts.items():
            name = f"noop:{letter}"
            api.store.keep_facts(ModelFacts(name=name, ref=name, revision=None, facts=known))
        return api

    return told


def errors_of(api: Api, **body: Any) -> list[dict[str, Any]]:
    answer = api.http.post("/v1/jobs", json=body)
    assert answer.status_code == 422, answer.text
    assert api.http.get("/v1/jobs").json()["data"] == []
    errors: list[dict[str, Any]] = answer.json()["errors"]
    return errors


def accepted(api: Api, **body: Any) -> dict[str, Any]:
    """The params of the first document, as a worker will get them."""
    answer = api.http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    sent = api.store.take_window(job_id=answer.json()["id"], window=9, resend_after_seconds=0.0)
    first = min((ticket.key for ticket in sent), key=lambda key: key.number)
    lease = api.store.claim(first, worker_id="w", lease_seconds=30)
    assert lease is not None
    return dict(lease.documents[0].params)


def test_h15_a_language_for_a_fixed_pair_is_one_refusal_for_all_rows(knows: Callable[..., Api]) -> None:
    """H15: a million rows with target_language=fr on a fixed pair were a million failures."""
    api = knows(t=ONE_PAIR)
    rows = [f"row {n}" for n in range(3000)]
    (error,) = errors_of(api, task="translation", params={"target_language": "fr"}, documents=rows)
    assert (error["line"], error["field"]) == (1, "params.target_language")
    assert "en-de" in error["message"]
    assert "2999 other rows" in error["message"]


def test_a_rows_own_parameter_is_named_with_its_line(knows: Callable[..., Api]) -> None:
    api = knows(t=ONE_PAIR)
    rows = ["a", {"text": "b", "params": {"target_language": "fr"}}, {"text": "c", "params": {"top_k": 3}}]
    errors = errors_of(api, task="translation", documents=rows)
    assert [(e["line"], e["field"]) for e in errors] == [
        (2, "params.target_language"),
        (3, "params.top_k"),
    ]


@pytest.mark.parametrize("task", ["translation_en_to_fr", "translation_de_to_en", "translation_fr_to_de"])
def test_w11_a_task_that_names_another_pair_than_the_models_is_refused(
    knows: Callable[..., Api], task: str
) -> None:
    """W11: task=translation_en_to_fr with an en-de model gave German."""
    api = knows(t=ONE_PAIR)
    for body in ({"task": task, "text": "x"}, {"documents": [{"task": task, "text": "x"}]}):
        (error,) = errors_of(api, **body)
        assert "translates en-de only" in error["message"]


def test_w11_a_task_that_names_the_models_own_pair_is_taken(knows: Callable[..., Api]) -> None:
    params = accepted(knows(t=ONE_PAIR), task="translation_en_to_de", text="x")
    assert params == {"source_language": "en", "target_language": "de"}


def test_w11_a_model_of_several_pairs_is_told_which_one(knows: Callable[..., Api]) -> None:
    api = knows(t=PREFIXES)
    assert accepted(api, task="translation_en_to_fr", text="x")["target_language"] == "fr"
    own = {"task": "translation_fr_to_en", "text": "x"}
    assert accepted(api, task="translation_en_to_de", documents=[own])["target_language"] == "en"


@pytest.mark.parametrize("task", ["translation_fr_to_de", "translation_en_to_ro", "translation_ro_to_en"])
def test_w11_a_pair_that_a_model_of_several_does_not_have_is_refused(
    knows: Callable[..., Api], task: str
) -> None:
    api = knows(t=PREFIXES)
    assert errors_of(api, task=task, text="x")[0]["field"].endswith("_language")


@pytest.mark.parametrize(
    "task",
    ["translation_xx_to_yy", "translation_XX_to_YY", "translation_", "translation_en", "translation-x"],
)
def test_w11_a_name_that_names_no_languages_is_no_task(api: Api, task: str) -> None:
    answer = api.http.post("/v1/jobs", json={"task": task, "text": "x"})
    assert answer.status_code == 422
    assert "translation" in answer.json()["detail"]
    (error,) = errors_of(api, documents=[{"task": task, "text": "x"}])
    assert error["field"] == "task"


def test_w11_a_language_named_twice_and_differently_is_refused_by_name(api: Api) -> None:
    wrong = {"task": "translation_en_to_fr", "params": {"target_language": "de"}}
    for body in ({**wrong, "text": "x"}, {"documents": [{**wrong, "text": "x"}]}):
        (error,) = errors_of(api, **body)
        assert error["field"] == "params.target_language"
    own = {"text": "x", "params": {"target_language": "de"}}
    assert accepted(api, task="translation_en_to_fr", documents=[own]) == {
        "source_language": "en",
        "target_language": "de",
    }


def test_a_multilingual_model_wants_a_target_and_codes_that_it_knows(knows: Callable[..., Api]) -> None:
    api = knows(t=MANY)
    (error,) = errors_of(api, task="translation", text="x")
    assert (error["field"], "fr_XX" in error["message"]) == ("params.target_language", True)
    for code in ("es", "es_XX", "de_XX", "klingon"):
        (error,) = errors_of(api, task="translation", params={"target_language": code}, text="x")
        assert repr(code) in error["message"]
        assert "de_DE, en_XX, fr_XX" in error["message"]
    assert accepted(api, task="translation_en_XX_to_fr_XX", text="x")["target_language"] == "fr_XX"


@pytest.mark.parametrize("code", ["fr", "fra", "fre", "fra_Latn"])
def test_any_code_of_a_language_of_the_model_is_taken(knows: Callable[..., Api], code: str) -> None:
    many = {**MANY, "target_languages": ["deu_Latn", "fra_Latn", "nob_Latn"]}
    assert accepted(knows(t=many), task="translation", params={"target_language": code}, text="x")


@pytest.mark.parametrize("code", ["it", "ita", "ita_Latn", "fr_CA", "French", "iw"])
def test_h15_a_code_of_no_language_of_the_model_is_one_refusal(knows: Callable[..., Api], code: str) -> None:
    """H15: codes in two letters that a model of many languages lacks failed document by document."""
    many = {**MANY, "target_languages": ["deu_Latn", "fra_Latn", "nob_Latn"]}
    errors = errors_of(
        knows(t=many), task="translation", params={"target_language": code}, documents=["x"] * 9
    )
    assert [error["field"] for error in errors] == ["params.target_language"]
    assert "deu_Latn, fra_Latn" in errors[0]["message"]


@pytest.mark.parametrize("code", ["German", "Deutsch", "deutsch", "nl", "ger man", "xx"])
def test_h15_a_name_that_is_no_code_of_the_pair_is_one_refusal(knows: Callable[..., Api], code: str) -> None:
    """H15: target_language=German on a fixed pair was accepted, and every document failed."""
    (error,) = errors_of(
        knows(t=ONE_PAIR), task="translation", params={"target_language": code}, documents=["x"] * 9
    )
    assert "translates en-de only" in error["message"]


@pytest.mark.parametrize("code", ["de", "deu", "ger", "de_DE", "de-AT"])
def test_every_code_of_the_pairs_own_language_is_taken(knows: Callable[..., Api], code: str) -> None:
    assert accepted(knows(t=ONE_PAIR), task="translation", params={"target_language": code}, text="x")


def test_a_code_of_two_of_the_models_languages_is_refused(knows: Callable[..., Api]) -> None:
    api = knows(t={**MANY, "target_languages": ["zh_CN", "zh_TW"]})
    (error,) = errors_of(api, task="translation", params={"target_language": "zh"}, text="x")
    assert "zh_CN, zh_TW" in error["message"]


def test_messages_for_a_model_without_a_template_are_refused() -> None:
    chats = {"has_chat_template": True}
    assert list(misfits("m", chats, {}, is_chat=True, is_translation=False)) == []
    assert list(misfits("m", {}, {}, is_chat=True, is_translation=False)) == []
    ((field, message),) = misfits("m", {"has_chat_template": False}, {}, is_chat=True, is_translation=False)
    assert field == "messages"
    assert "chat template" in message


def test_h1_a_temperature_alone_is_for_models_that_sample_by_themselves(knows: Callable[..., Api]) -> None:
    """H1: temperature=1.9, top_k=50, seed=1 without do_sample: greedy, and no word."""
    api = knows(g=GREEDY)
    params = {"temperature": 1.9, "top_k": 50, "seed": 1}
    errors = errors_of(api, task="generation", params=params, documents=["a"] * 500)
    assert [error["field"] for error in errors] == ["params.temperature", "params.top_k", "params.seed"]
    assert all("do_sample=true" in error["message"] for error in errors)
    knows(g=CHATS)
    assert accepted(api, task="generation", params=params, text="a") == params


def test_parameters_are_checked_as_they_come_together(knows: Callable[..., Api]) -> None:
    api = knows(g=GREEDY)
    sampled = {"text": "a", "params": {"do_sample": True}}
    assert accepted(api, task="generation", params={"temperature": 0.7}, documents=[sampled])
    greedy = {"text": "b", "params": {"do_sample": False}}
    unset = {"text": "c", "params": {"do_sample": False, "temperature": None}}
    job = {"task": "generation", "params": {"temperature": 0.7, "do_sample": True}}
    answer = api.http.post("/v1/jobs", json={**job, "documents": ["a", greedy, unset]})
    assert [(error["line"], error["field"]) for error in answer.json()["errors"]] == [
        (2, "params.temperature")
    ]


def test_h2_a_minimum_above_the_models_own_limit_is_refused(knows: Callable[..., Api]) -> None:
    """H2: min_new_tokens=600 alone was taken, and 128 tokens came."""
    api = knows(g=GREEDY)
    (error,) = errors_of(api, task="generation", params={"min_new_tokens": 600}, text="a")
    assert "128" in error["message"]
    (error,) = errors_of(api, task="generation", params={"min_new_tokens": 200, "max_length": 20}, text="a")
    assert error["field"] == "params.min_new_tokens"


def test_what_ctranslate2_does_not_do_is_refused_at_submission_too(knows: Callable[..., Api]) -> None:
    """A million rows with stop strings for a model in int8 were a million failures of one sentence."""
    api = knows(t={"decoded_by": "CTranslate2", "samples_by_default": False, "beams_by_default": 4})
    asked = {"stop": ["x"], "do_sample": True, "repetition_penalty": 1.2, "early_stopping": "never"}
    errors = errors_of(api, task="translation", params=asked, documents=["a"] * 50)
    assert {error["field"] for error in errors} == {f"params.{name}" for name in asked}
    assert all("float32" in error["message"] for error in errors)
    neutral = {"do_sample": False, "repetition_penalty": 1.0, "early_stopping": True, "num_beams": 2}
    assert accepted(api, task="translation", params=neutral, text="a") == neutral


def test_what_nobody_has_told_is_left_to_the_worker(api: Api) -> None:
    assert accepted(api, task="translation", params={"target_language": "fr"}, text="x")
    assert accepted(api, task="generation", params={"temperature": 0.7}, text="x")


def test_h15_a_model_that_cannot_be_loaded_is_refused_with_the_reason_once(api: Api) -> None:
    """H15: a job for nosuch/model was accepted, and every document failed with the same sentence."""
    api.sign_of_life(models=["noop:s", "noop:g"], told={"noop:s": BROKEN, "noop:g": {"dtype": "float32"}})
    named = api.http.post("/v1/jobs", json={"task": "sentiment", "model": "noop:s", "text": "x"})
    assert (named.status_code, named.json()["type"]) == (422, "urn:textmill:problem:model_not_served")
    assert "no safetensors" in named.json()["detail"]
    assert "retry-after" not in named.headers  # it will not pass by waiting
    (error,) = errors_of(api, task="sentiment", documents=["x"] * 1000)
    assert error["field"] == "model"
    assert "no safetensors" in error["message"]
    assert accepted(api, task="generation", text="x") == {}


def test_a_model_that_another_worker_has_or_that_may_load_later_is_not_refused(api: Api) -> None:
    api.sign_of_life("a", models=["noop:s"], told={"noop:s": BROKEN})
    api.sign_of_life("b", models=["noop:s"], told={"noop:s": {**BROKEN, "is_retryable": True}})
    assert accepted(api, task="sentiment", text="x") == {}
    api.sign_of_life("b", models=["noop:s"], told={"noop:s": {"dtype": "float32"}})
    assert accepted(api, task="sentiment", text="x") == {}


def test_in_a_mixed_job_a_name_that_no_task_takes_is_an_error_and_others_go_where_they_belong(
    api: Api,
) -> None:
    rows = [{"task": "sentiment", "text": "x"}, {"task": "generation", "text": "y"}]
    (error,) = errors_of(api, params={"min_tokens": 3}, documents=rows)
    assert error["field"] == "params.min_tokens"
    assert accepted(api, params={"min_new_tokens": 3}, documents=rows) == {}
