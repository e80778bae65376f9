"""Requests made by schemathesis from the whole OpenAPI document."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lone_api import LoneApi

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("keys", ["", "a-key-of-16-or-more-characters"])
def test_s23b_no_request_gets_an_answer_that_the_document_does_not_know(tmp_path: Path, keys: str) -> None:
    """S23b: 8 undocumented statuses, 3 undocumented content types; no 5xx is allowed but a told 503."""
    settings = {"api_keys": keys} if keys else {}
    with LoneApi(tmp_path, **settings) as api:
        found = subprocess.run(
            [
                Path(sys.executable).parent / "schemathesis", "run", f"{api.url}/openapi.json", "--checks",
                ",".join(CHECKS), "--max-examples", "40", "--phases", "examples,coverage,fuzzing",
                "--exclude-path", "/readyz",  # 503 by right: there is no worker
                "--exclude-path", "/v1/jobs/{job_id}/events",  # has no end; its refusals are those of the others
                *(["--header", f"Authorization: Bearer {keys}"] if keys else []),
            ],
            capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        assert found.returncode == 0, found.stdout[-6000:]
        assert "Traceback" not in api.log
