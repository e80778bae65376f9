"""`textmill run` and `textmill submit`: handing work in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textmill.commands.options import (
    FormatOption,
    JsonOption,
    ModelOption,
    ParamOption,
    SpreadsheetOption,
    TaskOption,
    checked,
    parse_params,
)
from textmill.commands.server import server_of

if TYPE_CHECKING:
    from textmill.uploads import Upload


def run(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="The text; - reads it from stdin.")],
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
    from textmill.terminal import words
    from textmill.terminal.consoles import answers, chatter
    from textmill.terminal.failure import FAILED

    params = parse_params(param)
    with server_of(context).connect() as server:
        result = server.run(
            sys.stdin.read() if text == "-" else text,
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
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSONL, JSON, CSV or TXT; - reads stdin.")],
    task: TaskOption = None,
    model: ModelOption = None,
    param: ParamOption = None,
    text_column: Annotated[str | None, typer.Option(help="The CSV column that holds the text.")] = None,
    priority: Annotated[str | None, typer.Option(metavar="interactive|bulk", help="Default: bulk.")] = None,
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
        str | None, typer.Option(metavar="jsonl|csv|txt", help="Where the file's name does not tell.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Submit a file of documents; prints the job's id.

    For example:

    textmill submit documents.jsonl --wait -o results.jsonl
    textmill submit reviews.csv --task sentiment --text-column review
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
        checked(input_format, ("jsonl", "csv", "txt"), "--input-format")
    params = parse_params(param)
    upload = _open(file, input_format=input_format, text_column=text_column)
    with server_of(context).connect() as server:
        try:
            with upload_shown(chatter(), upload):
                job = server.submit_upload(
                    upload, task=task, model=model, params=params, priority=priority, text_column=text_column
                )
        finally:
            upload.close()
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


def _open(file: str, *, input_format: str | None, text_column: str | None) -> Upload:
    from textmill.uploads import open_upload, spool_stream

    if file == "-":
        return spool_stream(sys.stdin.buffer, form=input_format, text_column=text_column)
    return open_upload(Path(file), form=input_format)


def _say_next_steps(job_id: str) -> None:
    from textmill.terminal.consoles import chatter

    chatter().print(
        f"submitted; watch it: textmill status {job_id} --watch\n"
        f"fetch results: textmill results {job_id} --follow -o results.jsonl",
        style="dim",
        soft_wrap=True,
    )
