"""`python -m workers`: one worker on one device."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from jobs.broker import num_threads
from jobs.catalogue import Catalogue, ModelEntry
from jobs.errors import ConfigurationError, TextmillError
from jobs.privacy import keep_files_private, refuse_foreign
from jobs.process import keep_giving_back, prepare_process, settle_in
from jobs.settings import Settings
from workers.libraries import set_up_libraries

if TYPE_CHECKING:
    from models.loop.pool import BuildEngine


def main(build: BuildEngine | None = None) -> int:
    """Parses, pins the device, and runs until told to stop.

    Args:
        build: makes the engine of a model instead of `models.factory.build_engine`.
    """
    options = _options()
    prepare_process()
    keep_files_private()
    _to_environment(options)
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        asked = Settings.load()
        catalogue = Catalogue.load(asked)
        named = "cuda:0" if asked.device == "cuda" else asked.device
        _pin(named)
        set_up_libraries()
        device = _resolve(named, catalogue)
        entries = _served(catalogue, options.models, device)
        settings = Settings.load()
        refuse_foreign(settings.data)
    except (TextmillError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return _run(settings, catalogue, entries, options, build, device)


def _run(
    settings: Settings,
    catalogue: Catalogue,
    entries: list[ModelEntry],
    options: argparse.Namespace,
    build: BuildEngine | None,
    device: str,
) -> int:
    # Only now: torch must see the pinned device, and `--help` must not wait for it.
    from celery.signals import setup_logging, worker_ready

    from models.errors import ModelError
    from workers.celery_app import app
    from workers.lifecycle import WorkerProcess, install_signals
    from workers.process import set_current_worker

    try:
        process = WorkerProcess(
            settings, catalogue, entries, name=options.name, build=build,
            device_label=None if device == "auto" else device,
        )  # fmt: skip
        settle_in()  # before the models, which may be unloaded
        keep_giving_back()
        process.start()
    except (TextmillError, ModelError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    set_current_worker(process.worker)
    # With a listener Celery leaves logging alone; else it would raise our level to its own,
    # and what the worker says of slices and leases would be lost.
    setup_logging.connect(lambda **_: None, weak=False)
    consumer = app.Worker(
        hostname=process.worker.worker_id,
        queues=options.queues or ",".join(e.queue for e in entries),
        pool="threads",
        concurrency=num_threads(settings.concurrency),
        loglevel="WARNING",
        quiet=True,  # no banner: the log says what it serves
        without_gossip=True,
        without_mingle=True,
        task_events=True,
    )
    install_signals(process)
    # Celery installs its own signal handlers when it starts; ours must be the last.
    worker_ready.connect(lambda **_: install_signals(process), weak=False)
    consumer.start()
    process.stop()  # Celery ended by itself: what is held here must not lapse as of a crash
    return int(consumer.exitcode or 0)


def _served(catalogue: Catalogue, names: str | None, device: str) -> list[ModelEntry]:
    if names:
        return [_for_device(catalogue.get(name), device) for name in names.split(",")]
    entries = [entry for entry in catalogue.entries if entry.is_for(device)]
    if not entries:
        raise ConfigurationError(f"no model of the catalogue is for device {device}")
    return entries


def _for_device(entry: ModelEntry, device: str) -> ModelEntry:
    if not entry.is_for(device):
        raise ConfigurationError(f"model {entry.name!r} is for {entry.device}, this worker is on {device}")
    return entry


def _resolve(device: str, catalogue: Catalogue) -> str:
    """The device by its own name, if it matters: to find out what `auto` is, torch must load."""
    if device != "auto" or all(entry.is_for(device) for entry in catalogue.entries):
        return device
    from models.loading.device import prepare_device

    return prepare_device(device).name


def _pin(device: str) -> None:
    """Lets torch see one GPU only, before it is imported; inside it is then `cuda:0`.

    Which GPU it is by the machine's count is known outside this function only: compare before.
    """
    if device.startswith("cuda:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(int(device.removeprefix("cuda:")))
        device = "cuda:0"
    elif device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ["TEXTMILL_DEVICE"] = device


def _visible(index: int) -> str:
    """The GPU of that number among those that CUDA may show this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return str(index)
    shown = [part.strip() for part in visible.split(",") if part.strip() not in ("", "-1")]
    if index >= len(shown):
        raise ConfigurationError(
            f"--device cuda:{index}: CUDA_VISIBLE_DEVICES={visible!r} shows {len(shown)} GPU(s)"
        )
    return shown[index]


def _to_environment(options: argparse.Namespace) -> None:
    """Flags win over the environment; every part of the process then reads one source."""
    values = {
        "TEXTMILL_DEVICE": options.device,
        "TEXTMILL_CONCURRENCY": options.concurrency,
        "TEXTMILL_MODELS": " ".join(options.model) or None,
        "TEXTMILL_DTYPE": options.dtype,
        "TEXTMILL_THREADS": options.threads,
    }
    os.environ.update({name: str(value) for name, value in values.items() if value is not None})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="textmill worker", description="One worker on one device.")
    parser.add_argument(
        "--device", metavar="D", help="auto, cpu, cuda (the first GPU) or cuda:N (default: auto)"
    )
    parser.add_argument(
        "--name", metavar="NAME", help="shown in Flower and `textmill models` (default: the device)"
    )
    parser.add_argument("--models", metavar="A,B", help="serve only these names of the catalogue")
    parser.add_argument(
        "--model", action="append", default=[], metavar="TASK=REF[@REVISION]", help="add a model; repeatable"
    )
    parser.add_argument("--queues", metavar="Q,...", help="Celery queues (default: those of the models)")
    parser.add_argument("--concurrency", type=int, metavar="N", help="slices held at once (default: 16)")
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16", "float16", "int8"])
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
