"""`textmill results`: what came out, while the job runs or after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from textmill.commands.options import FormatOption, JobArgument, checked
from textmill.commands.server import server_of

if TYPE_CHECKING:
    from textmill.handle import JobHandle
    from textmill.terminal.files import Output
    from textmill.views import JobView


def results(
    context: typer.Context,
    job_id: JobArgument,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="Write to this file (- is stdout).")
    ] = "-",
    form: FormatOption = "jsonl",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job is done, in input order.")
    ] = False,
) -> None:
    """Fetch results, one line for each document, in input order.

    A file appears under its name once it is complete; until then it is OUT.part.

    For example:

    textmill results JOB --follow -o results.jsonl
    textmill results JOB --format csv -o results.csv
    textmill results JOB | jq -r .output.text
    """
    from textmill.commands import watch

    checked(form, ("jsonl", "csv"), "--format")
    with server_of(context).connect() as server:
        job = server.job(job_id)
        try:
            last = write_results(job, output, form=form, follow=follow)
        except KeyboardInterrupt:
            watch.leave(job)
    raise typer.Exit(watch.exit_code(last))


def write_results(job: JobHandle, target: str, *, form: str, follow: bool) -> JobView:
    """Writes the results to a file or stdout; returns the job as it was found."""
    from textmill.terminal.files import STDOUT, Output

    with Output(target) as output:
        last = (
            _write_csv(job, output, follow=follow)
            if form == "csv"
            else _write_lines(job, output, follow=follow)
        )
        if last.is_final:
            output.finish()
    if target != STDOUT or not last.is_final:
        _say_where(output, last)
    return last


def _write_lines(job: JobHandle, output: Output, *, follow: bool) -> JobView:
    # The status is read first: results read after a final status are all there.
    before = None if follow else job.status()
    for line in job.result_lines(follow=follow):
        output.stream.write(line)
        output.stream.write(b"\n")
        if follow and output.is_stdout:
            output.stream.flush()  # somebody may be reading along
    return before if before is not None else job.status()


def _write_csv(job: JobHandle, output: Output, *, follow: bool) -> JobView:
    if follow:
        job.wait()  # a CSV is fetched whole: its rows do not say whether one before them is missing
    with job.download(form="csv") as (last, chunks):
        for chunk in chunks:
            output.stream.write(chunk)
    return last


def _say_where(output: Output, job: JobView) -> None:
    from textmill.terminal.consoles import chatter

    counts = job.counts
    if job.is_final:
        message = f"{counts.total:,} results in {output.target}"
    else:
        place = "" if output.is_stdout else f" in {output.partial_path}"
        message = (
            f"{job.id} is {job.status}: results of {counts.settled:,} of {counts.total:,} documents "
            f"so far{place}; --follow waits for the rest"
        )
    chatter().print(message, style="dim", soft_wrap=True, markup=False)
