"""Files as OpenAI's clients read them: those that were sent, and those that batches end with."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel

from api.openai.outputs import ResultFile, result_file
from jobs.batches import Half
from jobs.files import Place, StoredFile
from jobs.store.batch_book import BatchBook
from jobs.store.file_book import FileBook

#: What a file may be for: it is the input of batches, or what one ended with.
PURPOSE, RESULT_PURPOSE = "batch", "batch_output"
#: A page ends when counting bytes for it took so long; `has_more` says that there is another.
_COUNTING_SECONDS = 2.0


class FileOut(BaseModel):
    """A file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None


class FileDeleted(BaseModel):
    """It is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class FilePage(BaseModel):
    """Files by their times."""

    object: Literal["list"] = "list"
    data: list[FileOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


Found = StoredFile | ResultFile


def file_out(file: Found, size: Callable[[ResultFile], int]) -> FileOut:
    """The file as its owner reads it; `size` counts the bytes of one that was never sent."""
    is_result = isinstance(file, ResultFile)
    expires_at = file.expires_at
    return FileOut(
        id=file.id,
        bytes=size(file) if isinstance(file, ResultFile) else file.num_bytes,
        created_at=int(file.created_at.timestamp()),
        expires_at=None if expires_at is None else int(expires_at.timestamp()),
        filename=file.filename,
        purpose=RESULT_PURPOSE if is_result else PURPOSE,
    )


class Shelf:
    """All files of one owner, as one list.

    Args:
        files: What was sent.
        batches: What ended with files.
        owner: Whose.
    """

    def __init__(self, files: FileBook, batches: BatchBook, owner: str) -> None:
        self._files = files
        self._batches = batches
        self._owner = owner

    def get(self, file_id: str) -> Found:
        """One of them. Raises FileNotFound."""
        found = result_file(self._batches, file_id, owner=self._owner)
        return found or self._files.get(file_id, owner=self._owner)

    def page(self, *, purpose: str | None, after: str | None, is_descending: bool, limit: int) -> list[Found]:
        """As many as that, behind the one that is named.

        Raises:
            FileNotFound: there is no file `after`.
        """
        behind = None if after is None else self._place_of(after)
        sent = self._sent(purpose, behind, is_descending, limit)
        results = self._results(purpose, behind, is_descending, limit)
        merged = heapq.merge(sent, results, key=lambda pair: pair[0], reverse=is_descending)
        return [file for _, file in merged][:limit]

    def _place_of(self, file_id: str) -> Place:
        found = result_file(self._batches, file_id, owner=self._owner)
        return found.place if found is not None else self._files.place_of(file_id, owner=self._owner)

    def _sent(
        self, purpose: str | None, behind: Place | None, is_descending: bool, limit: int
    ) -> list[tuple[Place, Found]]:
        found = self._files.page(
            owner=self._owner, purpose=purpose, behind=behind, is_descending=is_descending, limit=limit
        )
        return [(place, file) for place, file in found]

    def _results(
        self, purpose: str | None, behind: Place | None, is_descending: bool, limit: int
    ) -> list[tuple[Place, Found]]:
        if purpose not in (None, RESULT_PURPOSE):
            return []
        # One more than asked: the batch of `behind` may have only files before it.
        ended = self._batches.ended(
            owner=self._owner, behind=behind, is_descending=is_descending, limit=limit + 1
        )
        files = [ResultFile(batch, half) for batch in ended for half in Half if batch.has_file(half)]
        placed = sorted(
            ((file.place, file) for file in files), key=lambda pair: pair[0], reverse=is_descending
        )
        if behind is None:
            return list(placed)
        return [pair for pair in placed if (pair[0] < behind if is_descending else pair[0] > behind)]


def sized_page(
    found: list[Found],
    *,
    limit: int,
    size: Callable[[ResultFile], int],
    clock: Callable[[], float] = time.monotonic,
) -> FilePage:
    """The page of these files, one of which is more than the page may hold if there are more."""
    until = clock() + _COUNTING_SECONDS
    data: list[FileOut] = []
    for file in found[:limit]:
        if data and clock() > until:
            break
        data.append(file_out(file, size))
    ids = [file.id for file in data]
    return FilePage(
        data=data,
        first_id=ids[0] if ids else None,
        last_id=ids[-1] if ids else None,
        has_more=len(found) > len(data),
    )
