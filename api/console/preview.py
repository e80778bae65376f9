"""The first rows of a file as they will be read, and every row that would be refused.

It is read by what reads submissions, to its end or as far as it was sent; nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.bodies import Body, column_names
from api.console.draft import Draft
from api.console.result_view import cut
from api.submission import new_job
from jobs import jsontext
from jobs.catalogue import Catalogue
from jobs.errors import InvalidRows, RequestError, RowError
from jobs.estimate import Estimator, Load
from jobs.keys import Caller
from jobs.params import InvalidParams
from jobs.rows.columns import Columns, Layout
from jobs.rows.formats import RawRow
from jobs.rows.validation import RowValidator, check_job
from jobs.serving import Standing
from jobs.settings import Settings

SHOWN_ROWS = 8
MOST_COLUMNS = 30
_MOST_BAD = 100  # as many as are told
_DELIMITERS = ",;\t|"
_CELL_CHARACTERS = 240
#: The field of a row in the order of the preview, where a file has no columns of its own.
_OF_DOCUMENTS = ("custom_id", "text", "context", "messages", "params", "task", "model", "metadata")


@dataclass(frozen=True)
class PreviewRow:
    """One row, and what is wrong with it."""

    line: int
    cells: list[str]
    problem: RowError | None = None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What is known of a file before it is submitted."""

    file_name: str = ""
    num_bytes: int = 0
    columns: list[str] = field(default_factory=list)
    roles: Mapping[str, str] = field(default_factory=dict)  #: column to role
    may_choose: bool = False  #: whether columns may have other roles
    delimiter: str = ""
    rows: list[PreviewRow] = field(default_factory=list)
    num_documents: int = 0  #: good ones
    num_problems: int = 0
    num_tokens: int = 0  #: work, as quotas count it
    is_part: bool = False
    notes: list[str] = field(default_factory=list)
    refusal: str = ""  #: why the file as a whole would be refused

    @property
    def is_good(self) -> bool:
        """Whether it may be submitted as it is."""
        return bool(self.num_documents) and not self.num_problems and not self.refusal


class _Look:
    """Keeps the first rows and the bad ones while all pass."""

    def __init__(self, *, drops_last: bool) -> None:
        self._drops_last = drops_last
        self._unanswered: RawRow | None = None
        self.first: list[RawRow] = []
        self.bad: list[RawRow] = []

    def rows(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """The same rows; of a part of a file without the last, which may be cut."""
        for row in _all_but_last(rows) if self._drops_last else rows:
            self._note_bad()
            self._unanswered = row
            if len(self.first) < SHOWN_ROWS:
                self.first.append(row)
            yield row
        self._note_bad()

    def is_good(self) -> None:
        """The row that passed last became a document."""
        self._unanswered = None

    def _note_bad(self) -> None:
        if self._unanswered is not None and len(self.bad) < _MOST_BAD:
            self.bad.append(self._unanswered)
        self._unanswered = None


def look_at(
    draft: Draft, settings: Settings, catalogue: Catalogue, models: Mapping[str, Standing], caller: Caller
) -> Preview:
    """Reads a draft's rows, and checks each; call it beside the event loop."""
    upload = draft.upload
    if upload is None:
        return Preview(refusal="Choose a file, or paste a text.")
    known: dict[str, Any] = {
        "file_name": upload.filename or "", "num_bytes": upload.size or _size(upload.file),
        "is_part": draft.is_part,
    }  # fmt: skip
    try:
        draft, names = _with_roles(draft, settings)
        known |= {
            "columns": names[:MOST_COLUMNS],
            "roles": {name: role for role, name in draft.columns.items()},
        }
        known |= {"may_choose": bool(names), "delimiter": draft.delimiter}
        body = draft.body(settings)
        job = new_job(body.fields, caller=caller)
        check_job(job, catalogue, models)
        validator = RowValidator(job, catalogue, max_documents=settings.max_documents, models=models)
    except (RequestError, InvalidParams) as error:  # wrong whatever the rows say
        return Preview(refusal=str(error), **known)
    load = Load(Estimator({name: standing.facts for name, standing in models.items()}))
    return _read(draft, body, validator, load, known)


def _read(draft: Draft, body: Body, validator: RowValidator, load: Load, known: dict[str, Any]) -> Preview:
    look = _Look(drops_last=draft.is_part)
    problems: tuple[RowError, ...] = ()
    num_problems, refusal = 0, ""
    try:
        for _ in load.counting(validator.documents(look.rows(body.read(body.chunks)))):
            look.is_good()
    except InvalidRows as error:
        problems, num_problems = error.rows, error.total
    except RequestError as error:
        if not (draft.is_part and look.first):  # else it is where the part ends
            refusal = str(error)
    columns = known["columns"] or _fields_of(look.first)
    layout = Columns(draft.columns).layout(columns) if known["may_choose"] else None
    return Preview(
        **{**known, "columns": columns},
        rows=_shown(look, problems, columns, layout),
        num_documents=load.documents,
        num_problems=num_problems,
        num_tokens=load.tokens,
        notes=body.notes,
        refusal=refusal,
    )


def _with_roles(draft: Draft, settings: Settings) -> tuple[Draft, list[str]]:
    """The draft with its columns in roles, as they were chosen or as their names say; and all columns."""
    given = {"file": draft.upload, "delimiter": draft.delimiter}
    names = column_names({name: value for name, value in given.items() if value}, settings)
    delimiter = draft.delimiter
    if len(names) == 1 and not delimiter:
        found = max(_DELIMITERS, key=names[0].count)
        if names[0].count(found):
            delimiter = {"\t": "tab"}.get(found, found)
            names = column_names({"file": draft.upload, "delimiter": delimiter}, settings)
    chosen = {role: name for role, name in draft.columns.items() if name in names}
    if chosen.get("text") is None and names and not {"text", "messages"} & set(names):
        chosen = {**_guess(names), **chosen}
    return draft.with_columns(chosen, delimiter), names


def _guess(names: list[str]) -> dict[str, str]:
    """Which column may be the text, where none is called so: somebody looks at it before it counts."""
    likely = (
        "body",
        "review",
        "content",
        "message",
        "comment",
        "question",
        "prompt",
        "sentence",
        "description",
    )
    lower = {name.lower(): name for name in names}
    text = next((lower[word] for word in likely if word in lower), None)
    text = text or next((name for name in names if name.lower() not in ("id", "custom_id")), names[0])
    return {"text": text, **({"id": lower["id"]} if "id" in lower and lower["id"] != text else {})}


def _shown(
    look: _Look, problems: tuple[RowError, ...], columns: list[str], layout: Layout | None
) -> list[PreviewRow]:
    """The first rows, then those further down that somebody has to mend."""
    shown = [
        PreviewRow(row.line, _cells(row, columns, layout), _problem_of(row, problems)) for row in look.first
    ]
    for row in look.bad:
        problem = None if any(row is first for first in look.first) else _problem_of(row, problems)
        if problem is not None:
            shown.append(PreviewRow(row.line, _cells(row, columns, layout), problem))
    return shown


def _problem_of(row: RawRow, problems: tuple[RowError, ...]) -> RowError | None:
    """What is told of a row; in an array, whose documents may share a line, by its position."""
    place = "" if row.position is None else f"document {row.position}: "
    return next((each for each in problems if each.line == row.line and each.message.startswith(place)), None)


def _cells(row: RawRow, columns: list[str], layout: Layout | None) -> list[str]:
    """The cells of a row under its columns; of what could not be read, none."""
    fields = row.fields or {}
    metadata = fields.get("metadata")
    carried = metadata if isinstance(metadata, dict) else {}
    cells = []
    for name in columns:
        target = layout.fields.get(name, name) if layout else name
        value = fields.get(target, row.offered.get(name, carried.get(name)))
        cells.append(_cell(value))
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else jsontext.dumps(value).decode()
    return cut(text) if len(text) <= _CELL_CHARACTERS else f"{text[:_CELL_CHARACTERS]}…"


def _fields_of(rows: list[RawRow]) -> list[str]:
    names = {name for row in rows for name in row.fields or ()}
    return [name for name in _OF_DOCUMENTS if name in names] or ["text"]


def _all_but_last(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    held: RawRow | None = None
    for row in rows:
        if held is not None:
            yield held
        held = row


def _size(file: Any) -> int:
    place = file.tell()
    size = int(file.seek(0, 2))
    file.seek(place)
    return size
