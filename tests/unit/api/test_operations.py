"""What watchers and people look at: health, metrics, models, documentation, the console."""

from __future__ import annotations

from jobs.records import ModelFacts
from tests.unit.api.conftest import MODELS, Api

MODELS_BY_NAME = [flag.partition("=")[2] for flag in MODELS]


def test_readiness_wants_a_worker_whose_loop_comes_round(api: Api) -> None:
    assert api.http.get("/healthz").json() == {"status": "ok"}
    without = api.http.get("/readyz")
    assert without.status_code == 503
    assert "no worker" in without.json()["checks"]["worker"]
    api.sign_of_life(models=MODELS_BY_NAME)
    ready = api.http.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["checks"] == {"database": "ok", "redis": "ok", "worker": "ok"}
    assert ready["models"]["noop:s"] == {"ok": True, "dtype": "float32", "decoded_by": "somebody"}
    api.sign_of_life(loop_age_seconds=60, models=MODELS_BY_NAME)
    assert api.http.get("/readyz").status_code == 503


def test_models_say_what_is_served_and_where_it_is_warm(api: Api) -> None:
    api.sign_of_life()
    models = {model["task"]: model for model in api.http.get("/v1/models").json()["data"]}
    assert set(models) == {"generation", "translation", "sentiment", "qa"}
    assert models["sentiment"]["id"] == "noop:s"
    assert models["sentiment"]["facts"] == {"dtype": "float32", "decoded_by": "somebody"}
    assert "cpu@here" in str(models["sentiment"])
    assert "cpu@here" not in str(models["qa"])


def test_one_model_is_asked_for_by_its_name(api: Api) -> None:
    """`models.retrieve` of OpenAI's client, which writes a slash in a name as %2F."""
    api.sign_of_life()
    listed = {model["id"]: model for model in api.http.get("/v1/models").json()["data"]}
    assert api.http.get("/v1/models/noop:s").json() == listed["noop:s"]
    answer = api.http.get("/v1/models/somebody%2Felse")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("model_not_found")
    assert "'somebody/else' is not served here; listed: noop:" in answer.json()["detail"]


def test_metrics_count_jobs_and_name_no_job(api: Api) -> None:
    job_id = api.submit("good", "bad")
    text = api.http.get("/metrics").text
    assert "textmill_documents_submitted_total 2.0" in text
    assert job_id not in text


def test_the_api_documents_itself_with_an_example_for_every_task(api: Api) -> None:
    document = api.http.get("/openapi.json").json()
    assert {"/v1/jobs", "/v1/jobs/{job_id}", "/v1/jobs/{job_id}/results", "/v1/models"} <= set(
        document["paths"]
    )
    examples = str(document["paths"]["/v1/jobs"]["post"]["requestBody"])
    assert all(task in examples for task in ("generation", "translation", "sentiment", "qa"))
    assert api.http.get("/docs").status_code == 200


def test_the_console_shows_jobs_and_escapes_what_clients_sent(api: Api) -> None:
    api.submit("good", metadata={"name": "<script>alert(1)</script>"})
    page = api.http.get("/console/jobs")
    assert page.status_code == 200
    assert "job_" in page.text
    assert "<script>alert(1)" not in page.text
    assert "default-src" in page.headers["content-security-policy"]


BROKEN = {"error": "cannot_load", "message": "convert pytorch_model.bin", "is_retryable": False}
SLOW = {"way": "one at a time", "why": "its mask is ignored", "proven": False, "dtype": "float32", "steps": 9}


def test_h15_readiness_says_which_model_is_not_served_and_why_while_others_are(api: Api) -> None:
    """H15: `/readyz` was green, and every document of the model failed."""
    api.sign_of_life(models=["noop:s", "noop:g", "noop:q"], told={"noop:s": BROKEN, "noop:q": SLOW})
    answer = api.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    models = answer.json()["models"]
    assert models["noop:s"] == {"ok": False, "error": "cannot_load", "message": "convert pytorch_model.bin"}
    assert models["noop:q"] == {
        "ok": True, "way": "one at a time", "why": "its mask is ignored", "dtype": "float32",
    }  # fmt: skip
    assert models["noop:t"] == {"ok": False, "message": "no worker serves it now"}


def test_without_any_model_that_can_be_served_nothing_is_ready(api: Api) -> None:
    api.sign_of_life(models=["noop:s"], told={"noop:s": BROKEN})
    answer = api.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert "no worker has a model" in answer.json()["checks"]["worker"]
    assert "convert" in answer.json()["models"]["noop:s"]["message"]


def test_models_say_why_they_are_not_served_or_not_the_fastest_way(api: Api) -> None:
    api.sign_of_life(models=["noop:s", "noop:q"], told={"noop:s": BROKEN, "noop:q": SLOW})
    models = {model["id"]: model for model in api.http.get("/v1/models").json()["data"]}
    assert models["noop:s"]["facts"] == {"error": "cannot_load", "message": "convert pytorch_model.bin"}
    assert models["noop:s"]["workers"][0]["warm"] is False
    assert models["noop:q"]["facts"] == {
        "way": "one at a time", "why": "its mask is ignored", "proven": False, "dtype": "float32",
    }  # fmt: skip


def test_facts_are_shown_when_the_worker_that_told_them_is_gone(api: Api) -> None:
    told = ModelFacts(name="noop:q", ref="noop:q", revision=None, facts={"way": "continuous"})
    api.store.keep_facts(told)
    models = {model["id"]: model for model in api.http.get("/v1/models").json()["data"]}
    assert models["noop:q"]["facts"] == {"way": "continuous"}
    assert models["noop:q"]["workers"] == []
