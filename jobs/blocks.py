"""Cutting a stream of documents into blocks that are small both in number and in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from jobs import jsontext
from jobs.records import NewDocument

T = TypeVar("T")
#: In memory a block costs a few times its text, in several places one after the other.
_MAX_DOCUMENTS = 1000
_MAX_CHARACTERS = 2_000_000


def in_blocks(documents: Iterable[NewDocument]) -> Iterator[list[NewDocument]]:
    """The same documents in order; a block is over the limits only by its last document."""
    block: list[NewDocument] = []
    num_characters = 0
    for document in documents:
        block.append(document)
        num_characters += _size(document)
        if len(block) >= _MAX_DOCUMENTS or num_characters >= _MAX_CHARACTERS:
            yield block
            block, num_characters = [], 0
    if block:
        yield block


def knowing_the_last(blocks: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Each with whether it is the last one."""
    blocks = iter(blocks)
    for block in blocks:
        for following in blocks:
            yield block, False
            block = following
        yield block, True


def _size(document: NewDocument) -> int:
    """Characters of everything that is carried along, not only of what a model reads."""
    metadata = len(jsontext.dumps(document.metadata)) if document.metadata else 0
    return document.num_characters + len(document.custom_id) + metadata
