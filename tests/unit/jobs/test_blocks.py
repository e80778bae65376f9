"""Documents go to the ledger in blocks that are small in number and in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from jobs.blocks import in_blocks
from jobs.records import NewDocument, Task


def document(
    text: str = "x", *, custom_id: str = "", metadata: Mapping[str, Any] | None = None, **more: Any
) -> NewDocument:
    return NewDocument(
        seq=0, custom_id=custom_id, task=Task.SENTIMENT, model="m", text=text, metadata=metadata or {}, **more
    )


def sizes(*documents: NewDocument) -> list[int]:
    return [len(block) for block in in_blocks(documents)]


def test_blocks_hold_the_same_documents_in_order() -> None:
    documents = [document(str(number)) for number in range(2_500)]
    blocks = list(in_blocks(documents))
    assert [len(block) for block in blocks] == [1000, 1000, 500]
    assert [each for block in blocks for each in block] == documents
    assert sizes() == []


@pytest.mark.parametrize(
    "large",
    [
        document("x" * 1_000_000),
        document("", custom_id="i" * 1_000_000),
        document("", metadata={"k": "m" * (1_000_000 - len('{"k":""}'))}),
        document("", context="c" * 1_000_000),
        document("", messages=({"role": "user", "content": "t" * 1_000_000},)),
    ],
    ids=["text", "id", "metadata", "context", "chat"],
)
def test_l10_a_block_ends_at_two_million_characters_of_whatever_is_carried_along(large: NewDocument) -> None:
    """L10: metadata and ids were not counted."""
    assert sizes(large, large, large) == [2, 1]
    little_less = document("x" * 999_999)
    assert sizes(large, little_less, document(), document()) == [3, 1]
    assert sizes(little_less, large, document(), large, large, document()) == [3, 2, 1]
