"""The console's pages by name, and a job that has something of everything to show."""

from __future__ import annotations

from dataclasses import dataclass

from textmill.client import Textmill

#: Addresses; `{job}` stands for the id of the example.
PAGES = {
    "overview": "/",
    "jobs": "/console/jobs",
    "jobs, none found": "/console/jobs?q=nothing+like+it",
    "job": "/console/jobs/{job}",
    "job, its failures": "/console/jobs/{job}?status=failed",
    "submit": "/console/submit",
    "try one": "/console/try",
    "models": "/console/models",
    "workers": "/console/workers",
    "usage": "/console/usage",
    "keys": "/console/keys",
}

#: Of a job that is not there.
NOT_FOUND = "/console/jobs/job_none"


@dataclass(frozen=True)
class Example:
    """What there is to look at."""

    job_id: str


def open_example(client: Textmill) -> Example:
    """A job with successes and failures that has come to its end."""
    handle = client.submit(
        [*("a text" for _ in range(40)), "nan"],
        task="sentiment",
        metadata={"name": "Example", "team": "support"},
    )
    handle.wait()
    return Example(handle.id)
