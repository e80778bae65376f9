"""Examples in the OpenAPI document, one per task and body form."""

from __future__ import annotations

from typing import Any

_DOCUMENTS = {
    "generation": {
        "summary": "Continue a prompt",
        "value": {
            "task": "generation",
            "text": "I enjoy walking with my cute dog",
            "params": {"max_length": 100, "do_sample": True, "temperature": 0.7, "seed": 1},
        },
    },
    "translation": {
        "summary": "Translate",
        "value": {"task": "translation", "documents": [{"text": "The weather is nice today."}]},
    },
    "sentiment": {
        "summary": "Label sentiment",
        "value": {
            "task": "sentiment",
            "documents": [
                {"custom_id": "r1", "text": "A warm, funny, engaging film."},
                "Dull from start to end.",
            ],
        },
    },
    "qa": {
        "summary": "Answer a question",
        "value": {
            "task": "qa",
            "documents": [{"text": "Who wrote it?", "context": "The report was written by Ada."}],
        },
    },
    "mixed": {
        "summary": "All tasks in one job",
        "value": {
            "documents": [
                {"task": "sentiment", "text": "I would buy it again."},
                {"task": "translation", "text": "Where is the station?"},
            ]
        },
    },
}
_LINES = '{"custom_id": "r1", "task": "sentiment", "text": "A warm, funny, engaging film."}\n'
_STRING = {"type": "string"}

SUBMIT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object"}, "examples": _DOCUMENTS},
            "application/x-ndjson": {"schema": _STRING, "example": _LINES},
            "text/csv": {"schema": _STRING, "example": "id,review\n1,A warm film\n"},
            "text/tab-separated-values": {"schema": _STRING, "example": "id\treview\n1\tA warm film\n"},
            "text/plain": {"schema": _STRING, "example": "A warm film.\nA dull film.\n"},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}, "task": _STRING},
                }
            },
        },
    }
}
