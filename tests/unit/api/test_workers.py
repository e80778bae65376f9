"""Who computes, as the API tells it."""

from __future__ import annotations

from tests.unit.api.conftest import Api


def test_workers_are_told_with_their_devices_and_models(api: Api) -> None:
    assert api.http.get("/v1/workers").json() == {"data": []}
    api.sign_of_life("gpu@there", models=("noop:s", "noop:q"), loop_age_seconds=30.0)
    api.sign_of_life("cpu@here")
    here, there = api.http.get("/v1/workers").json()["data"]
    assert (here["id"], here["device"], here["warm_models"]) == ("cpu@here", "cpu", ["noop:s"])
    assert (there["models"], there["loop_age_seconds"]) == (["noop:s", "noop:q"], 30.0)
    assert (here["state"], there["state"]) == ("well", "stuck")
    assert 0 <= there["age_seconds"] < 60
