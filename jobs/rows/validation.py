"""Raw rows to documents: every field checked, every problem named by line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from jobs.catalogue import Catalogue, ModelEntry, parse_task
from jobs.errors import InvalidRows, PayloadTooLarge, RequestError, RowError, UnknownModel
from jobs.params import InvalidParams, applicable, known_anywhere, validate_params
from jobs.records import NewDocument, NewJob, Task
from jobs.rows.formats import RawRow
from jobs.rows.messages import InvalidMessages, chat_of

_FIELDS = frozenset({"custom_id", "task", "model", "text", "context", "messages", "params", "metadata"})
#: NUL cannot be stored by PostgreSQL; a lone surrogate cannot be written as UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SHOWN_ERRORS = 100
_MAX_CUSTOM_ID = 512


class _Problem(Exception):
    def __init__(self, field: str | None, message: str) -> None:
        self.field = field
        self.message = message


class RowValidator:
    """Turns the raw rows of one submission into documents.

    Bad rows are collected, not raised: a client wants to hear of all of them at once.
    """

    def __init__(self, job: NewJob, catalogue: Catalogue, *, max_documents: int) -> None:
        self._job = job
        self._catalogue = catalogue
        self._max_documents = max_documents
        self._problems: list[RowError] = []
        self._num_problems = 0
        self._seen: set[int] = set()
        self._checked: dict[tuple[Task, bytes], dict[str, Any]] = {}
        self._defaults = {task: self._default_params(task) for task in Task}

    def documents(self, rows: Iterable[RawRow]) -> Iterator[NewDocument]:
        """The valid documents, numbered in order.

        Raises:
            InvalidRows: after the last row, when any was wrong.
        """
        for seq, row in enumerate(rows):
            if seq >= self._max_documents:
                raise PayloadTooLarge(f"a job may have {self._max_documents} documents at most")
            try:
                yield self._document(seq, row)
            except _Problem as problem:
                self._note(RowError(line=row.line, field=problem.field, message=problem.message))
            except InvalidMessages as error:
                self._note(RowError(line=row.line, field=error.field, message=error.message))
            except InvalidParams as error:
                for field, message in error.problems:
                    self._note(RowError(line=row.line, field=field, message=message))
        if self._num_problems:
            raise InvalidRows(self._problems, total=self._num_problems)

    def _note(self, error: RowError) -> None:
        self._num_problems += 1
        if len(self._problems) < _SHOWN_ERRORS:
            self._problems.append(error)

    def _document(self, seq: int, row: RawRow) -> NewDocument:
        fields = row.fields
        if fields is None:
            raise _Problem(None, row.problem or "not a row")
        if not fields.keys() <= _FIELDS:
            unknown = min(fields.keys() - _FIELDS)
            raise _Problem(unknown, f"unknown field {unknown!r}; allowed: {', '.join(sorted(_FIELDS))}")
        model = self._model(fields)
        context = _text(fields, "context") if fields.get("context") is not None else None
        if model.task is Task.QA and context is None:
            raise _Problem("context", "a question needs a context")
        messages = chat_of(fields, model.task, _refuse_unstorable)
        return NewDocument(
            seq=seq,
            custom_id=self._custom_id(fields, seq),
            task=model.task,
            model=model.name,
            text=_text(fields, "text") if messages is None else "",
            context=context,
            messages=messages,
            params=self._params(model.task, fields.get("params")),
            metadata=_metadata(fields),
        )

    def _model(self, fields: Mapping[str, Any]) -> ModelEntry:
        task = self._task(fields.get("task"))
        name = fields.get(
            "model", self._job.model if fields.get("task") is None or not self._job.task else None
        )
        try:
            if name is None:
                if task is None:
                    raise _Problem("task", "no task: give one in the row or for the job")
                return self._catalogue.default(task)
            entry = self._catalogue.get(str(name))
        except UnknownModel as error:
            raise _Problem("model", str(error)) from None
        if task is not None and entry.task is not task:
            raise _Problem("model", f"model {entry.name!r} is for {entry.task}, not for {task}")
        return entry

    def _task(self, value: Any) -> Task | None:
        if value is None:
            return self._job.task
        if not isinstance(value, str):
            raise _Problem("task", "must be a string")
        try:
            return parse_task(value)
        except ValueError as error:
            raise _Problem("task", str(error)) from None

    def _custom_id(self, fields: Mapping[str, Any], seq: int) -> str:
        value = fields.get("custom_id")
        if value is None:
            value = str(seq)
        elif isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        elif not isinstance(value, str) or not value or len(value) > _MAX_CUSTOM_ID:
            raise _Problem("custom_id", f"must be a string of 1 to {_MAX_CUSTOM_ID} characters")
        _refuse_unstorable("custom_id", value)
        # Eight bytes an id instead of the id itself. Two ids of one hash in ten million rows
        # have a chance of about 1 in 370,000 (birthday bound over 64 bits); the row is then
        # refused, never mixed up.
        mark = hash(value)
        if mark in self._seen:
            raise _Problem("custom_id", f"{value!r} is used by an earlier row")
        self._seen.add(mark)
        return value

    def _params(self, task: Task, own: Any) -> dict[str, Any]:
        if own is None:
            return self._defaults[task]
        if not isinstance(own, dict):
            raise _Problem("params", "must be an object")
        key = (task, orjson.dumps(own, option=orjson.OPT_SORT_KEYS))
        if key not in self._checked:
            if len(self._checked) > 4096:
                self._checked.clear()
            self._checked[key] = validate_params(task, {**self._defaults[task], **own})
        return self._checked[key]

    def _default_params(self, task: Task) -> dict[str, Any]:
        params = self._job.params
        if self._job.task is not None:  # one task: every name must be one of its own
            return validate_params(task, params) if task is self._job.task else {}
        unknown = [name for name in params if not known_anywhere(name)]
        if unknown:
            raise InvalidParams([(f"params.{n}", f"unknown parameter {n!r}") for n in unknown])
        return validate_params(task, applicable(task, params))


def check_job(job: NewJob, catalogue: Catalogue) -> None:
    """Checks what a job says before any row is read.

    Raises:
        RequestError: an unknown model, a model of another task, or wrong params.
    """
    if job.model is not None:
        entry = catalogue.get(job.model)
        if job.task is not None and entry.task is not job.task:
            raise RequestError(f"model {entry.name!r} is for {entry.task}, not for {job.task}")


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise _Problem(name, f"{name} is missing")
    if not isinstance(value, str):
        raise _Problem(name, f"must be a string, not {type(value).__name__}")
    if not value.strip():
        raise _Problem(name, f"{name} is empty")
    _refuse_unstorable(name, value)
    return value


def _refuse_unstorable(name: str, value: str) -> None:
    if found := _UNSTORABLE.search(value):
        what = "a NUL character" if found.group() == "\x00" else "a lone surrogate"
        raise _Problem(name, f"holds {what} at position {found.start()}")


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    value = fields.get("metadata")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _Problem("metadata", "must be an object")
    try:
        encoded = orjson.dumps(value).decode()
    except (TypeError, ValueError):
        raise _Problem("metadata", "cannot be stored") from None
    if "\\u0000" in encoded:
        raise _Problem("metadata", "holds a NUL character")
    return value
