"""Raw rows to documents: every field checked, every problem named by line."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jobs import grammars, jsontext
from jobs.catalogue import Catalogue, ModelEntry
from jobs.combinations import Defaults
from jobs.echo import MAX_CHARACTERS, echoed
from jobs.errors import InvalidRows, ModelNotServed, PayloadTooLarge, RequestError, RowError, UnknownModel
from jobs.params import InvalidParams, applicable, known_anywhere, validate_each, validate_params
from jobs.records import NewDocument, NewJob, Task
from jobs.rows.fields import (
    FieldProblem,
    check_names,
    context_of,
    metadata_of,
    refuse_unstorable,
    text_of,
    with_offers,
)
from jobs.rows.fitting import misfits
from jobs.rows.formats import RawRow
from jobs.rows.ids import Ids
from jobs.rows.messages import InvalidMessages, chat_of
from jobs.serving import Standing
from jobs.tasks import parse_task, with_languages

_SHOWN_ERRORS, _SHOWN_CHARACTERS = 100, 500


class RowValidator:
    """Turns the raw rows of one submission into documents.

    Bad rows are collected, not raised: a client wants to hear of all of them at once.
    """

    def __init__(
        self,
        job: NewJob,
        catalogue: Catalogue,
        *,
        max_documents: int,
        max_grammar_bytes: int = grammars.MAX_BYTES,
        models: Mapping[str, Standing] | None = None,
    ) -> None:
        """Takes what holds for every row.

        Args:
            job: the submission.
            catalogue: the served models.
            max_documents: a job may have so many.
            max_grammar_bytes: a document's grammar may have so many.
            models: how the models stand; what is not known is left to the workers.

        Raises:
            InvalidParams: a parameter of the job is wrong whatever the rows say.
        """
        self._job = job
        self._catalogue = catalogue
        self._models = models or {}
        self._max_documents = max_documents
        self._max_grammar_bytes = max_grammar_bytes
        self._problems: list[RowError] = []
        self._num_problems = 0
        self._ids = Ids()
        self._checked: dict[tuple[str, bool, bytes], dict[str, Any]] = {}
        #: how many rows share a problem that is not their own
        self._shared: Counter[tuple[str, str]] = Counter()
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
            except FieldProblem as problem:
                self._note(row, problem.field, problem.message, code=problem.code)
            except InvalidMessages as error:
                self._note(row, error.field, error.message)
            except InvalidParams as error:
                self._note_params(row, error)
        if self._num_problems:
            raise InvalidRows([self._counted(error) for error in self._problems], total=self._num_problems)

    def _counted(self, error: RowError) -> RowError:
        num_others = self._shared.get((error.field or "", error.message), 1) - 1
        if num_others < 1:
            return error
        return dataclasses.replace(error, message=f"{error.message} (and in {num_others} other rows)")

    def _note(self, row: RawRow, field: str | None, message: str, *, code: str | None = None) -> None:
        self._num_problems += 1
        if len(self._problems) >= _SHOWN_ERRORS:
            return
        if field is not None and field in row.columns:
            message = f"{message} (column {echoed(row.columns[field])})"
        if row.position is not None:
            message = f"document {row.position}: {message}"
        if len(message) > _SHOWN_CHARACTERS:  # it may quote what was sent
            message = f"{message[: _SHOWN_CHARACTERS - 3]}..."
        field = field and row.names.get(field, field)[:MAX_CHARACTERS]
        self._problems.append(RowError(line=row.line, field=field, message=message, code=code))

    def _note_params(self, row: RawRow, error: InvalidParams) -> None:
        """What is wrong with the row's own params; what is not its own, once for all rows like it."""
        own = (row.fields or {}).get("params") or {}
        for field, message in error.problems:
            if field.removeprefix("params.") in own:
                self._note(row, field, message)
                continue
            shared = row.names.get(field, field), message
            self._shared[shared] += 1
            if self._shared[shared] == 1:
                self._note(row, field, message)

    def _document(self, seq: int, row: RawRow) -> NewDocument:
        fields = row.fields
        if fields is None:
            raise FieldProblem(row.problem_field, row.problem or "not a row", code=row.problem_code)
        check_names(fields)
        model = self._model(fields)
        if row.offered:
            fields = with_offers(row, model.task)
        context = context_of(fields, model.task)
        messages = chat_of(fields, model.task, refuse_unstorable)
        return NewDocument(
            seq=seq,
            custom_id=self._custom_id(row, fields.get("custom_id"), seq),
            task=model.task,
            model=model.name,
            text=text_of(fields, "text", model.task) if messages is None else "",
            context=context,
            messages=messages,
            params=self._params(model, fields),
            metadata=metadata_of(fields),
        )

    def _model(self, fields: Mapping[str, Any]) -> ModelEntry:
        task = self._task(fields.get("task"))
        name = fields.get("model")  # null names none: a data frame writes it so
        try:
            entry = self._unnamed(task) if name is None else self._catalogue.get(str(name))
        except UnknownModel as error:
            raise FieldProblem("model", str(error), code="model_not_found") from None
        if task is not None and entry.task is not task:
            raise FieldProblem("model", f"model {entry.name!r} is for {entry.task}, not for {task}")
        return entry

    def _unnamed(self, task: Task | None) -> ModelEntry:
        """The model of a row that names none: the job's, unless the job has another task than the row."""
        if self._job.model is not None and (self._job.task is None or task is self._job.task):
            return self._catalogue.get(self._job.model)
        if task is None:
            raise FieldProblem("task", "no task: give one for the job or in the row (columns need a role)")
        return self._catalogue.default(task)

    def _standing(self, model: ModelEntry) -> Standing:
        standing = self._models.get(model.name) or Standing(entry=model, facts={})
        if standing.is_refused:
            raise InvalidParams([("model", _not_served(standing))])
        return standing

    def _task(self, value: Any) -> Task | None:
        if value is None:
            return self._job.task
        if not isinstance(value, str):
            raise FieldProblem("task", f"must be one of {', '.join(Task)}")
        try:
            return parse_task(value)
        except ValueError as error:
            raise FieldProblem("task", str(error)) from None

    def _custom_id(self, row: RawRow, value: Any, seq: int) -> str:
        place, noun = (row.line, "line") if row.position is None else (row.position, "document")
        try:
            taken = self._ids.take(value, seq=seq, place=place, noun=noun)
        except ValueError as error:
            raise FieldProblem("custom_id", str(error), code="duplicate_custom_id") from None
        refuse_unstorable("custom_id", taken)
        return taken

    def _params(self, model: ModelEntry, fields: Mapping[str, Any]) -> dict[str, Any]:
        own = fields.get("params")
        if own is not None and not isinstance(own, dict):
            raise FieldProblem("params", "must be an object of parameters")
        own = with_languages(fields.get("task"), own or {})
        is_chat = fields.get("messages") is not None
        key = (model.name, is_chat, jsontext.dumps(own))  # in order: a schema's counts
        if key not in self._checked:
            if len(self._checked) > 4096:
                self._checked.clear()
            self._checked[key] = self._checked_params(model, own, is_chat=is_chat)
        return self._checked[key]

    def _checked_params(self, model: ModelEntry, own: Mapping[str, Any], *, is_chat: bool) -> dict[str, Any]:
        """The job's params and the row's own together, checked against what is known of the model."""
        facts = self._standing(model).facts
        params = validate_params(
            model.task,
            grammars.laid_over(self._defaults[model.task], own),
            Defaults.of(facts),
            max_grammar_bytes=self._max_grammar_bytes,
        )
        is_translation = model.task is Task.TRANSLATION
        problems = misfits(model.name, facts, params, is_chat=is_chat, is_translation=is_translation)
        if found := list(problems):
            raise InvalidParams(found)
        return params

    def _default_params(self, task: Task) -> dict[str, Any]:
        params = self._job.params
        if self._job.task is not None:  # one task: every name must be one of its own
            return validate_each(task, params) if task is self._job.task else {}
        unknown = [name for name in params if not known_anywhere(name)]
        if unknown:
            raise InvalidParams([(f"params.{n}", f"unknown parameter {echoed(n)}") for n in unknown])
        return validate_each(task, applicable(task, params))


def check_job(job: NewJob, catalogue: Catalogue, models: Mapping[str, Standing] | None = None) -> None:
    """Checks what a job says before any row is read.

    Raises:
        RequestError: an unknown model, a model of another task.
        ModelNotServed: the job's model cannot be loaded.
    """
    if job.model is not None:
        entry = catalogue.get(job.model)
        if job.task is not None and entry.task is not job.task:
            raise RequestError(f"model {entry.name!r} is for {entry.task}, not for {job.task}")
        standing = (models or {}).get(entry.name)
        if standing is not None and standing.is_refused:
            raise ModelNotServed(_not_served(standing))


def _not_served(standing: Standing) -> str:
    return (
        f"model {standing.entry.name!r} cannot be served: {standing.why_not}; choose another model "
        "(`textmill models`), or have it repaired"
    )
