"""The demo: the whole of Textmill in one command, on a folder of its own, leaving nothing behind.

`python -m textmill.demo` is what `make demo` runs.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from jobs.errors import TextmillError
from jobs.records import DocumentStatus
from textmill.client import Textmill
from textmill.errors import StackError, UnreadableInput
from textmill.stack.background import BackgroundStack
from textmill.terminal import words
from textmill.terminal.consoles import answers, chatter
from textmill.terminal.files import Output
from textmill.terminal.progress import progress_on
from textmill.views import JobView, Result

_SAMPLES_PER_TASK = 3
_LONGEST_SAMPLE = 100


def run_demo(documents: Path, target: Path) -> JobView:
    """Starts everything, runs the documents, writes the results, stops everything.

    Returns:
        The finished job.

    Raises:
        TextmillError: anything went wrong; nothing is left running.
    """
    if not documents.exists():
        raise UnreadableInput(f"{documents} is not there; run the demo from Textmill's own folder")
    folder = Path(tempfile.mkdtemp(prefix="textmill-demo-"))
    try:
        with BackgroundStack(folder) as stack:
            job, results = _run_documents(stack.url, documents, target)
            _show_samples(results, answers())
            _show_addresses(stack, target, answers())
            code = stack.stop()
        if code != 0:
            raise StackError(f"the stack ended with exit code {code}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return job


def _run_documents(url: str, documents: Path, target: Path) -> tuple[JobView, list[Result]]:
    with Textmill(url) as server:
        job = server.submit(documents)
        chatter().print(f"\nSubmitted {documents} as {job.id}\n", markup=False)
        last = job.status()
        with progress_on(chatter()) as progress:
            for last in job.changes():
                progress.show(last)
        chatter().print(words.summary(last), style=words.style_of(last.status), soft_wrap=True, markup=False)
        results = list(job.results())
        with Output(str(target)) as output:
            for line in job.result_lines():
                output.write(line + b"\n")
            output.finish()
    return last, results


def _show_samples(results: Iterable[Result], console: Console) -> None:
    by_task: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_task[result.task].append(result)
    for task, found in by_task.items():
        succeeded = [result for result in found if result.status is DocumentStatus.SUCCEEDED]
        console.print()
        console.print(Text(f"{task}: {len(succeeded)} of {len(found)} succeeded", style="bold"))
        for result in succeeded[:_SAMPLES_PER_TASK]:
            text = " ".join(words.output_of(result).split())
            shown = text if len(text) <= _LONGEST_SAMPLE else f"{text[:_LONGEST_SAMPLE]}..."
            console.print(Text.assemble("  ", (f"{result.custom_id:<8}", "cyan"), shown), soft_wrap=True)
        for result in [result for result in found if result.output is None][:_SAMPLES_PER_TASK]:
            console.print(f"  {words.failure_of(result)}", style="red", markup=False, soft_wrap=True)


def _show_addresses(stack: BackgroundStack, target: Path, console: Console) -> None:
    console.print()
    console.print(f"Results   {target.absolute()}", soft_wrap=True, markup=False)
    console.print("`textmill up` starts the same again and leaves it running. This demo had:", soft_wrap=True)
    console.print(f"Console   {stack.url}/", soft_wrap=True)
    console.print(f"API docs  {stack.url}/docs", soft_wrap=True)
    if stack.flower_url:
        console.print(f"Flower    {stack.flower_url}/", soft_wrap=True)
    console.print()


def main() -> None:
    """`python -m textmill.demo`."""
    from textmill.terminal.failure import FAILED, INTERRUPTED, exit_code_of, explain

    try:
        job = run_demo(Path("examples/documents.jsonl"), Path("results.jsonl"))
    except TextmillError as error:
        explain(error, chatter())
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0 if job.has_succeeded else FAILED)


if __name__ == "__main__":
    main()
