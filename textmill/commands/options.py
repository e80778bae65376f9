"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

TaskOption = Annotated[
    str | None,
    typer.Option("--task", "-t", help="generation, translation, sentiment or qa, for rows that name none."),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A name of `textmill models`; default: the server's for the task."),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="As transformers names it; repeatable."),
]
TextColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The column that holds the text; default: text.")
]
IdColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The column that holds the id; default: custom_id.")
]
ContextColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The column with the context of a question.")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ROLE=NAME", help="Another column's role: model, task or params; repeatable."),
]
DelimiterOption = Annotated[
    str | None, typer.Option(metavar="CHAR", help="Of a table, if not a comma: a character, or tab.")
]
EncodingOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of the file, if not UTF-8 or marked: cp1252, ...")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
FormatOption = Annotated[str, typer.Option("--format", metavar="jsonl|csv", help="Format of the results.")]
SpreadsheetOption = Annotated[
    bool,
    typer.Option(
        "--spreadsheet", help="With csv: for Excel and its like (byte order mark, no cell runs as a formula)."
    ),
]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="A job: its id, how that begins, its name, or last (the newest).")
]


def parse_params(pairs: Sequence[str] | None) -> dict[str, Any] | None:
    """`NAME=VALUE` flags as a mapping; a value that reads as JSON is one, else it is a string.

    Raises:
        typer.BadParameter: there is no `=`, or a name is given twice.
    """
    if not pairs:
        return None
    params: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{pair!r}: write NAME=VALUE", param_hint="--param")
        if name in params:
            raise typer.BadParameter(
                f'{name} is given twice; several values are one list, as in \'stop=["a", "b"]\'',
                param_hint="--param",
            )
        try:
            params[name] = json.loads(text)
        except ValueError:
            params[name] = {"True": True, "False": False}.get(text, text)
    return params


def parse_roles(pairs: Sequence[str] | None) -> dict[str, str]:
    """`ROLE=NAME` flags as a mapping.

    Raises:
        typer.BadParameter: there is no `=`, or a role is given twice.
    """
    roles: dict[str, str] = {}
    for pair in pairs or ():
        role, separator, name = pair.partition("=")
        if not separator or not role or not name:
            raise typer.BadParameter(f"{pair!r}: write ROLE=NAME", param_hint="--column")
        if roles.setdefault(role, name) != name:
            raise typer.BadParameter(f"the role {role} is given twice", param_hint="--column")
    return roles


def checked(value: str, allowed: Sequence[str], flag: str) -> str:
    """The value, if it is one of those allowed.

    Raises:
        typer.BadParameter: it is not.
    """
    if value not in allowed:
        raise typer.BadParameter(f"{value!r}: use {' or '.join(allowed)}", param_hint=flag)
    return value
