"""One document that somebody tries, and the same call as a program would make it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from api.bodies import Body
from api.console.parameters import given_params
from api.schemas import JobIn
from jobs import jsontext
from jobs.errors import RequestError
from jobs.records import Task
from jobs.rows.formats import RawRow, as_document

_NAME_CHARACTERS = 60
_INDENT = "  "


@dataclass(frozen=True)
class Call:
    """A way to make the call."""

    id: str
    word: str
    code: str


@dataclass(frozen=True, kw_only=True)
class OneDocument:
    """A text, what is done with it, and how."""

    task: Task
    model: str = ""
    text: str = ""
    context: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, form: Mapping[str, str]) -> OneDocument:
        """From the fields of the page.

        Raises:
            RequestError: they name no task.
        """
        try:
            task = Task(form.get("task", ""))
        except ValueError:
            raise RequestError(f"choose a task: one of {', '.join(Task)}") from None
        return cls(
            task=task,
            model=form.get("model", ""),
            text=form.get("text", "").replace("\r\n", "\n"),
            context=form.get("context", "").replace("\r\n", "\n") if task is Task.QA else "",
            params=given_params(task, form),
        )

    @property
    def document(self) -> dict[str, str]:
        """As a line of a file would have it."""
        return {"text": self.text, **({"context": self.context} if self.task is Task.QA else {})}

    @property
    def fields(self) -> dict[str, Any]:
        """What is said beside the document."""
        said = {"task": self.task.value, "model": self.model, "params": dict(self.params)}
        return {name: value for name, value in said.items() if value}

    @property
    def body(self) -> Body:
        """As a submission."""
        named = " ".join(self.text.split())[:_NAME_CHARACTERS]
        fields = JobIn(**self.fields, priority="interactive", name=f"Tried: {named}")
        return Body(fields, BytesIO(jsontext.dumps(self.document)), self._rows)

    @staticmethod
    def _rows(chunks: Any) -> Iterator[RawRow]:
        yield as_document(1, jsontext.loads(b"".join(chunks)))

    def calls(self, server: str, *, has_keys: bool) -> list[Call]:
        """The same for programs.

        Args:
            server: Where it is reached, without a path.
            has_keys: Whether it asks for one.
        """
        return [
            Call("curl", "curl", self._curl(server, has_keys=has_keys)),
            Call("python", "Python", self._python(server, has_keys=has_keys)),
            Call("cli", "Command line", self._command(server)),
        ]

    def _curl(self, server: str, *, has_keys: bool) -> str:
        request = {**self.fields, "priority": "interactive", "documents": [self.document]}
        lines = [
            f"JOB=$(curl -s {server}/v1/jobs",
            *(['-H "Authorization: Bearer $TEXTMILL_API_KEY"'] if has_keys else []),
        ]
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_json(request))} | jq -r .id)"]
        key = ' -H "Authorization: Bearer $TEXTMILL_API_KEY"' if has_keys else ""
        wait = f'curl -s{key} "{server}/v1/jobs/$JOB?wait=30" > /dev/null'
        return f" \\\n{_INDENT}".join(lines) + f'\n{wait}\ncurl -s{key} "{server}/v1/jobs/$JOB/results"'

    def _python(self, server: str, *, has_keys: bool) -> str:
        key = ', api_key=os.environ["TEXTMILL_API_KEY"]' if has_keys else ""
        given = {
            "task": self.task.value,
            "context": self.context,
            "model": self.model,
            "params": dict(self.params),
        }
        said = [
            f"{_INDENT}{self.text!r},",
            *(f"{_INDENT}{name}={value!r}," for name, value in given.items() if value),
        ]
        head = ["import os", ""] if has_keys else []
        imports = [*head[:1], "from textmill.client import Textmill", ""]
        return "\n".join(
            [
                *imports,
                f'server = Textmill("{server}"{key})',
                "result = server.run(",
                *said,
                ")",
                "print(result.output)",
            ]
        )

    def _command(self, server: str) -> str:
        flags = [f"textmill --url {server} run {shlex.quote(self.text)}", f"--task {self.task.value}"]
        flags += [f"--context {shlex.quote(self.context)}"] if self.context else []
        flags += [f"--model {shlex.quote(self.model)}"] if self.model else []
        flags += [f"-p {shlex.quote(f'{name}={_json(value)}')}" for name, value in self.params.items()]
        return f" \\\n{_INDENT}".join(flags)


def _json(value: Any) -> str:
    return jsontext.dumps(value).decode()
