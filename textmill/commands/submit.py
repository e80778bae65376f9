"""`textmill run` and `textmill submit`: handing work in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textmill.commands.options import (
    ColumnOption,
    ContextColumnOption,
    DelimiterOption,
    EncodingOption,
    FormatOption,
    IdColumnOption,
    JsonOption,
    ModelOption,
    ParamOption,
    SpreadsheetOption,
    TaskOption,
    TextColumnOption,
    checked,
    parse_params,
    parse_roles,
)
from textmill.commands.server import server_of

if TYPE_CHECKING:
    from textmill.uploads import Upload


def run(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="The text; - reads it from stdin (without the last line end).")],
    task: Annotated[str, typer.Option("--task", "-t", help="generation, translation, sentiment or qa.")],
    model: ModelOption = None,
    question_context: Annotated[
        str | None, typer.Option("--context", help="For qa: where the answer is to be found.")
    ] = None,
    param: ParamOption = None,
    json: JsonOption = False,
) -> None:
    """Run one document and print its output.

    For example:

    textmill run "A warm, funny, engaging film." --task sentiment
    textmill run "Who wrote it?" --task qa --context "The report was written by Ada."
    textmill run "I enjoy walking" --task generation -p max_new_tokens=30 -p num_beams=4
    """
    from textmill.contents import read_piped_text
    from textmill.terminal import words
    from textmill.terminal.consoles import answers, chatter
    from textmill.terminal.failure import FAILED

    params = parse_params(param)
    with server_of(context).connect() as server:
        result = server.run(
            read_piped_text(sys.stdin.buffer) if text == "-" else text,
            task=task,
            context=question_context,
            model=model,
            params=params,
        )
    if json:
        answers().print_json(data=dict(result.raw))
    elif result.output is not None:
        answers().print(words.output_of(result), markup=False, soft_wrap=True)
    if result.output is None:
        chatter().print(words.failure_of(result), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(FAILED)


def submit(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSONL, JSON, CSV, TSV or TXT, also .gz; - reads stdin.")
    ],
    task: TaskOption = None,
    model: ModelOption = None,
    param: ParamOption = None,
    text_column: TextColumnOption = None,
    id_column: IdColumnOption = None,
    context_column: ContextColumnOption = None,
    column: ColumnOption = None,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = None,
    priority: Annotated[str | None, typer.Option(metavar="interactive|bulk", help="Default: bulk.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Call the job so; other commands find it by its name.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="To find the job by; repeatable.")] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Show progress until it is done.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Wait, then write the results there (- is stdout)."
        ),
    ] = None,
    form: FormatOption = "jsonl",
    spreadsheet: SpreadsheetOption = False,
    input_format: Annotated[
        str | None,
        typer.Option(metavar="jsonl|json|csv|tsv|txt", help="Where the file's name does not tell."),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="Tell this address when the job ends.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Submit a file of documents; prints the job's id.

    For example:

    textmill submit documents.jsonl --wait -o results.jsonl
    textmill submit reviews.csv --task sentiment --text-column review --id-column id
    textmill submit reviews.csv --task sentiment --name nightly --tag reviews
    textmill submit excel.csv --task sentiment --delimiter ";" --encoding cp1252
    cat lines.txt | textmill submit - --task translation -o - | jq -r .output.text
    """
    from textmill.commands import watch
    from textmill.commands.results import check_format, write_results
    from textmill.terminal.consoles import answers, chatter
    from textmill.terminal.files import check_writable
    from textmill.terminal.progress import upload_shown

    check_format(form, spreadsheet=spreadsheet)
    check_writable(output)  # before the work is done, not after
    if input_format is not None:
        checked(input_format, ("jsonl", "json", "csv", "tsv", "txt"), "--input-format")
    params = parse_params(param)
    columns = {"text": text_column, "id": id_column, "context": context_column}
    upload = _open(file, input_format, parse_roles(column), columns, delimiter=delimiter, encoding=encoding)
    with server_of(context).connect() as server:
        try:
            with upload_shown(chatter(), upload):
                job = server.submit_upload(
                    upload,
                    task=task,
                    model=model,
                    params=params,
                    priority=priority,
                    name=name,
                    tags=tag or (),
                    webhook=webhook,
                )
        finally:
            upload.close()
        _say_note(job.note)
        _say_secret(job.webhook)
        with watch.may_leave(job):  # from here on Ctrl-C must say how to come back
            is_stdout_free = not json and output != "-"
            (answers() if is_stdout_free else chatter()).print(job.id, soft_wrap=True)
            if not wait and output is None:
                _say_next_steps(job.id)
                if json:
                    answers().print_json(data=dict(job.status().raw))
                return
            last = watch.follow(job)
            if output is not None:
                write_results(job, output, form=form, follow=True, spreadsheet=spreadsheet)
        if json:
            answers().print_json(data=dict(last.raw))
    raise typer.Exit(watch.exit_code(last))


def _open(
    file: str,
    input_format: str | None,
    roles: dict[str, str],
    columns: dict[str, str | None],
    *,
    delimiter: str | None,
    encoding: str | None,
) -> Upload:
    from textmill.row_options import RowOptions
    from textmill.uploads import open_upload, spool_stream

    options = RowOptions.of(roles, delimiter=delimiter, encoding=encoding, **columns)
    upload = (
        spool_stream(sys.stdin.buffer, form=input_format, options=options)
        if file == "-"
        else open_upload(Path(file), form=input_format, options=options)
    )
    _say_note(upload.note)
    return upload


def _say_note(note: str | None) -> None:
    from textmill.terminal.consoles import chatter

    if note is not None:
        chatter().print(f"note: {note}", style="yellow", soft_wrap=True, markup=False)


def _say_secret(webhook: Mapping[str, Any] | None) -> None:
    from textmill.terminal.consoles import chatter

    if webhook is not None and webhook.get("secret"):
        said = f"the webhook's secret, not shown again: {webhook['secret']}"
        chatter().print(said, soft_wrap=True, markup=False)


def _say_next_steps(job_id: str) -> None:
    from textmill.terminal.consoles import chatter

    chatter().print(
        f"submitted; watch it: textmill status {job_id} --watch\n"
        f"fetch results: textmill results {job_id} --follow -o results.jsonl",
        style="dim",
        soft_wrap=True,
    )
