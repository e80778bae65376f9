"""Models for a device: said by /readyz, and refused while no worker has such a device."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from tests.unit.api.conftest import Api

TABLE = '[[models]]\nname = "there"\ntask = "sentiment"\nref = "noop:there"\ndevice = "cuda:1"\n'


def test_l16_a_model_for_a_device_that_no_worker_has_is_named_and_refused(
    make_api: Callable[..., Api], tmp_path: Path
) -> None:
    """L16's kind: nobody served it, nothing said so, and its jobs were accepted and stayed queued."""
    (tmp_path / "models.toml").write_text(TABLE)
    api = make_api(config=tmp_path / "models.toml")
    api.sign_of_life()
    told = api.http.get("/readyz").json()
    assert told["status"] == "degraded"
    assert "it is for cuda:1, and the workers are on cpu" in told["models"]["there"]["message"]
    for body in (
        {"task": "sentiment", "model": "there", "documents": ["x"]},
        {"task": "sentiment", "documents": [{"text": "x", "model": "there"}]},
    ):
        refused = api.http.post("/v1/jobs", json=body)
        assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert "--device cuda:1" in refused.text
    assert api.http.get("/v1/jobs").json()["data"] == []
