"""What the form of the submit page says: a file or a text, what its columns are, what to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from starlette.datastructures import FormData, Headers, UploadFile

from api.bodies import Body, form_body
from api.console.parameters import given_params
from jobs.errors import RequestError
from jobs.records import Task
from jobs.rows.columns import ROLES
from jobs.settings import Settings

#: How pasted text may be read: the ending of a file's name, and the word for people.
PASTED = {"txt": "Lines of text", "csv": "A table (CSV)", "jsonl": "JSON lines"}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A submission that somebody prepares."""

    task: Task
    model: str = ""  #: empty: the task's default
    columns: Mapping[str, str] = field(default_factory=dict)  #: role to column
    delimiter: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    is_interactive: bool = False
    name: str = ""
    tags: tuple[str, ...] = ()
    upload: UploadFile | None = None
    is_part: bool = False  #: the upload is only the beginning of the file

    @classmethod
    def of(cls, form: FormData) -> Draft:
        """From the fields of the page.

        Raises:
            RequestError: they are no draft.
        """
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        try:
            task = Task(texts.get("task", ""))
        except ValueError:
            raise RequestError(f"choose a task: one of {', '.join(Task)}") from None
        tags = tuple(tag for tag in (part.strip() for part in texts.get("tags", "").split(",")) if tag)
        return cls(
            task=task,
            model=texts.get("model", ""),
            columns=_columns([value for value in form.getlist("column") if isinstance(value, str)]),
            delimiter=texts.get("delimiter", ""),
            params=given_params(task, texts),
            is_interactive=texts.get("priority") == "interactive",
            name=texts.get("name", "").strip(),
            tags=tags,
            upload=_upload(form, texts),
            is_part=texts.get("part") == "1",
        )

    @property
    def fields(self) -> dict[str, Any]:
        """As `POST /v1/jobs` takes them."""
        roles = {f"{role}_column": name for role, name in self.columns.items()}
        said = {
            "task": self.task.value,
            "model": self.model,
            "delimiter": self.delimiter,
            "file": self.upload,
        }
        more: dict[str, Any] = {"params": dict(self.params), "name": self.name, "tags": list(self.tags)}
        more["priority"] = "interactive" if self.is_interactive else "bulk"
        return {
            name: value for name, value in {**said, **more, **roles}.items() if value not in ("", None, [])
        }

    def body(self, settings: Settings) -> Body:
        """Its rows and fields, as those of any form.

        Raises:
            RequestError: it has no file, or a field is wrong.
        """
        if self.upload is None:
            raise RequestError("choose a file, or paste a text")
        return form_body(self.fields, settings)

    def with_columns(self, columns: Mapping[str, str], delimiter: str) -> Draft:
        """The same, its table read in another way."""
        return replace(self, columns=columns, delimiter=delimiter)


def _columns(chosen: list[str]) -> dict[str, str]:
    """Roles from the choices above the columns, each `role:column`."""
    columns: dict[str, str] = {}
    for choice in chosen:
        role, separator, name = choice.partition(":")
        if not separator or role not in ROLES:
            continue  # carried along
        if role in columns:
            raise RequestError(f"two columns are the {role}, {columns[role]!r} and {name!r}: choose one")
        columns[role] = name
    return columns


def _upload(form: FormData, texts: Mapping[str, str]) -> UploadFile | None:
    upload = form.get("file")
    if isinstance(upload, UploadFile) and upload.filename:
        return upload
    pasted = texts.get("pasted", "")
    if not pasted.strip():
        return None
    ending = texts.get("pasted_as", "txt")
    name = f"pasted.{ending if ending in PASTED else 'txt'}"
    return UploadFile(BytesIO(pasted.encode()), filename=name, headers=Headers({"content-type": ""}))
