"""What watchers and people look at: health, metrics, models, documentation, the console."""

from __future__ import annotations

from tests.unit.api.conftest import Api


def test_readiness_wants_a_worker_whose_loop_comes_round(api: Api) -> None:
    assert api.http.get("/healthz").json() == {"status": "ok"}
    without = api.http.get("/readyz")
    assert without.status_code == 503
    assert "no worker" in without.json()["checks"]["worker"]
    api.sign_of_life()
    assert api.http.get("/readyz").json() == {
        "status": "ready",
        "checks": {"database": "ok", "redis": "ok", "worker": "ok"},
    }
    api.sign_of_life(loop_age_seconds=60)
    assert api.http.get("/readyz").status_code == 503


def test_models_say_what_is_served_and_where_it_is_warm(api: Api) -> None:
    api.sign_of_life()
    models = {model["task"]: model for model in api.http.get("/v1/models").json()["data"]}
    assert set(models) == {"generation", "translation", "sentiment", "qa"}
    assert models["sentiment"]["id"] == "noop:s"
    assert models["sentiment"]["facts"] == {"dtype": "float32", "decoded_by": "somebody"}
    assert "cpu@here" in str(models["sentiment"])
    assert "cpu@here" not in str(models["qa"])


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
    page = api.http.get("/")
    assert page.status_code == 200
    assert "job_" in page.text
    assert "<script>alert(1)" not in page.text
    assert "default-src" in page.headers["content-security-policy"]
