"""`textmill results`: what came out, while the job runs or after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from textmill.commands.options import FormatOption, JobArgument, SpreadsheetOption, checked
from textmill.commands.server import server_of

if TYPE_CHECKING:
    from textmill.handle import JobHandle
    from textmill.result_reader import ResultReader
    from textmill.terminal.files import Output
    from textmill.views import JobView

_FORMATS = ("jsonl", "csv")
_STATUSES = ("succeeded", "failed", "cancelled", "expired")


def results(
    context: typer.Context,
    job: JobArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="Write to this file (- is stdout).")
    ] = "-",
    form: FormatOption = "jsonl",
    spreadsheet: SpreadsheetOption = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job is done, in input order.")
    ] = False,
    state: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="|".join(_STATUSES), help="Only these; repeatable."),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Short for --status failed.")] = False,
    task: Annotated[list[str] | None, typer.Option(help="Only documents of this task; repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only documents of this model; repeatable.")] = None,
) -> None:
    """Fetch results, one line for each document, in input order.

    A file appears under its name once it is complete; until then it is OUT.part.

    For example:

    textmill results last --follow -o results.jsonl
    textmill results JOB --format csv -o results.csv
    textmill results JOB --format csv --spreadsheet -o for-excel.csv
    textmill results JOB --failed
    textmill results JOB | jq -r .output.text
    """
    from textmill.commands import watch
    from textmill.terminal.files import check_writable

    check_format(form, spreadsheet=spreadsheet)
    check_writable(output)
    statuses = [checked(value, _STATUSES, "--status") for value in state or []]
    with server_of(context).connect() as server:
        found = server.find(job)
        wanted = found.reader(
            status=[*statuses, *(["failed"] if failed else [])], task=task or (), model=model or ()
        )
        try:
            last = write_results(
                found, output, form=form, follow=follow, spreadsheet=spreadsheet, reader=wanted
            )
        except KeyboardInterrupt:
            watch.leave(found)
    raise typer.Exit(watch.exit_code(last))


def check_format(form: str, *, spreadsheet: bool) -> None:
    """Refuses what the results cannot be written as, before anything is asked of the server.

    Raises:
        typer.BadParameter: an unknown format, or one that is not for spreadsheets.
    """
    checked(form, _FORMATS, "--format")
    if spreadsheet and form != "csv":
        raise typer.BadParameter("only a CSV can be made for spreadsheets", param_hint="--spreadsheet")


def write_results(
    job: JobHandle,
    target: str,
    *,
    form: str,
    follow: bool,
    spreadsheet: bool = False,
    reader: ResultReader | None = None,
) -> JobView:
    """Writes the results to a file or stdout; returns the job as it was found.

    Raises:
        UnwritableOutput: the file cannot be written; the server still has the results.
        IncompleteResults: fewer came than the job has; the file does not get its name.
    """
    from textmill.terminal.files import STDOUT, Output

    reader = reader or job.reader()
    hint = f"the results are still on the server: textmill results {job.id} -o OTHER-FILE"
    with Output(target, on_failure=hint) as output:
        if follow and form == "csv":
            job.wait()  # a CSV is fetched from the first row to the last
        # The status is read first: results read after a final status are all there.
        before = None if follow else job.status()
        _write(reader, output, form=form, follow=follow, spreadsheet=spreadsheet)
        last = before if before is not None else job.status()
        if last.is_final:
            output.finish()
    if target != STDOUT or not last.is_final:
        _say_where(output, last, reader)
    return last


def _write(reader: ResultReader, output: Output, *, form: str, follow: bool, spreadsheet: bool) -> None:
    if form == "csv":
        for chunk in reader.csv(follow=follow, spreadsheet=spreadsheet):
            output.write(chunk)
        return
    for _, line in reader.lines(after=-1, follow=follow):
        output.write(line + b"\n")
        if follow and output.is_stdout:
            output.flush()  # somebody may be reading along


def _say_where(output: Output, job: JobView, reader: ResultReader) -> None:
    from textmill.terminal.consoles import chatter

    counts = job.counts
    if job.is_final:
        chosen = f" of {counts.total:,}" if reader.choice else ""
        message = f"{reader.num_read:,}{chosen} results in {output.target}"
    else:
        place = "" if output.is_stdout else f" in {output.partial_path}"
        message = (
            f"{job.id} is {job.status}: results of {reader.num_read:,} of {counts.total:,} documents "
            f"so far{place}; --follow waits for the rest"
        )
    chatter().print(message, style="dim", soft_wrap=True, markup=False)
