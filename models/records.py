"""The values that go into an engine and come out of it. No torch here.

`models` does not know `jobs`: a document is named by an opaque key that the
caller chooses and gets back.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """How to load one model."""

    name: str
    task: str  #: generation | translation | sentiment | qa
    ref: str  #: Hugging Face id, local folder, or `bundled:NAME`
    revision: str | None = None
    dtype: str = "auto"  #: auto | float32 | bfloat16 | float16 | int8
    pinned: bool = False
    max_batch_tokens: int = 8192  #: padded tokens in one forward pass


@dataclass(frozen=True, kw_only=True)
class DocumentInput:
    """One document to compute."""

    key: Hashable
    text: str
    context: str | None = None
    #: a chat instead of `text`, for generation: each with `role` and `content`
    messages: Sequence[Mapping[str, Any]] | None = None
    #: transformers' own parameter names, validated before they came here
    params: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 6  #: lower is sooner
    owner: str = ""  #: documents take turns by owner
    group: str = ""  #: and then by group (the job)
    #: what sampling begins with where the parameters name no seed; None: any
    own_seed: int | None = None
    #: told each piece of the text while it is decoded, where the way of decoding shows it; called by the
    #: thread that computes, so it must not wait. The pieces are the beginning of the output's text.
    on_text: Callable[[str], None] | None = None

    @property
    def num_characters(self) -> int:
        """Of all that is read."""
        num = len(self.text) + len(self.context or "")
        return num + sum(len(str(message["content"])) for message in self.messages) if self.messages else num


@dataclass(frozen=True, kw_only=True)
class DocumentOutput:
    """What became of one document: either `output` or `error_code` is set."""

    key: Hashable
    output: Mapping[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    truncated: bool = False
    provenance: Mapping[str, Any] | None = None
