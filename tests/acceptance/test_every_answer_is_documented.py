"""Requests made by schemathesis from the whole OpenAPI document."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lone_api import LoneApi

CHECKS = (
    "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance",
)  # fmt: skip
NUM_EXAMPLES = 20
#: Nobody works here, so a wait would last as long as it may: a minute for each example.
_CONFIG = """
[[operations]]
include-name = "GET /v1/jobs/{job_id}"
parameters = { "query.wait" = 0.05, "header.prefer" = "wait=0" }
"""
ADMINISTRATOR = "an-administrators-key-of-16-or-more"


def assert_documented(api: LoneApi, folder: Path, *options: str, checks: tuple[str, ...]) -> None:
    """Every answer is one that the document knows."""
    (folder / "schemathesis.toml").write_text(_CONFIG)
    found = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis", "run", f"{api.url}/openapi.json", "--checks",
            ",".join(checks), "--max-examples", str(NUM_EXAMPLES), "--phases", "coverage,fuzzing",
            *options,
        ],
        capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-6000:]
    assert " passed" in found.stdout
    assert "Traceback" not in api.log


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, None),
        ({"api_keys": "a-key-of-16-or-more-characters"}, "a-key-of-16-or-more-characters"),
        ({"admin_key": ADMINISTRATOR}, ADMINISTRATOR),
    ],
    ids=["without keys", "with a project's key", "with an administrator's key"],
)
def test_s23b_no_request_gets_an_answer_that_the_document_does_not_know(
    tmp_path: Path, settings: dict[str, str], key: str | None
) -> None:
    """S23b: 8 undocumented statuses and 3 undocumented content types."""
    headers = ["--header", f"Authorization: Bearer {key}"] if key else []
    # Nobody works here: a call is answered once its time is over.
    with LoneApi(tmp_path, call_seconds=0.05, sweep_seconds=0.2, **settings) as api:
        assert_documented(
            api, tmp_path, "--exclude-path", "/readyz", "--exclude-tag", "calls", *headers,
            checks=("not_a_server_error", *CHECKS),
        )  # fmt: skip
        assert_documented(api, tmp_path, "--include-tag", "calls", *headers, checks=CHECKS)
        # 503 by right: there is no worker.
        assert_documented(api, tmp_path, "--include-path", "/readyz", *headers, checks=CHECKS)
