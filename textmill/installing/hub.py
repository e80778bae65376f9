"""A model of the hub: one commit of it, its files compared with the hashes that the hub names.

Address, token, cache and being offline follow Hugging Face's own variables. Offline, a model
in the cache is taken from there.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from textmill.errors import NotAModel, NotInstalled
from textmill.installing import folder as folders
from textmill.installing.offers import GGUF_GROWS, Files, Offer
from textmill.installing.selection import is_made_of_gguf, select

T = TypeVar("T")


def offer(repository: str, revision: str | None, *, file: str | None = None) -> Offer:
    """What would be fetched of a repository.

    Raises:
        NotAModel: there is none of that name and revision, or no model in it.
        NotInstalled: the hub cannot be reached, or does not give it to this user.
    """
    try:
        from huggingface_hub import HfApi, constants
    except ImportError as error:
        raise NotInstalled(
            "models of the hub need huggingface_hub: pip install 'textmill[worker]'"
        ) from error
    if constants.HF_HUB_OFFLINE:
        return _from_cache(repository, revision, file)
    info = _ask(repository, lambda: HfApi().model_info(repository, revision=revision, files_metadata=True))
    siblings = {each.rfilename: each for each in info.siblings or [] if "/" not in each.rfilename}
    chosen = select(siblings, repository, file=file)
    num_bytes = sum(siblings[name].size or 0 for name in chosen.files)
    hashes = {name: lfs.sha256 for name in chosen.files if (lfs := siblings[name].lfs) is not None}
    return Offer(
        name=repository.rpartition("/")[2],
        title=f"{repository}, of the hub",
        source=f"{repository}@{info.sha}" + (f" {chosen.gguf}" if chosen.gguf else ""),
        licence=getattr(info.card_data, "license", None) or None,
        download_bytes=num_bytes,
        disk_bytes=num_bytes * (1 + GGUF_GROWS) if chosen.gguf else num_bytes,
        fetch=lambda draft: _fetch(repository, str(info.sha), chosen.files, chosen.gguf, hashes, draft),
        left_out=chosen.left_out,
    )


def _from_cache(repository: str, revision: str | None, file: str | None) -> Offer:
    from huggingface_hub import snapshot_download

    try:
        cached = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:  # not there; or no name of a repository
        raise NotInstalled(
            f"HF_HUB_OFFLINE is set, and {repository} is not in the cache: unset it, or fetch the model "
            f"where there is a network (hf download {repository})"
        ) from error
    return folders.offer(
        cached, file=file, source=f"{repository}@{cached.name}", name=repository.rpartition("/")[2]
    )


def _fetch(
    repository: str,
    commit: str,
    names: tuple[str, ...],
    gguf: str | None,
    hashes: dict[str, str],
    draft: Path,
) -> Files:
    from huggingface_hub import hf_hub_download

    files, fetched = draft / "model", draft / "fetched"
    for name in names:
        path = Path(
            _ask(repository, lambda: hf_hub_download(repository, name, revision=commit, local_dir=fetched))  # noqa: B023
        )
        if name in hashes:
            _refuse_another(path, hashes[name])
        if not is_made_of_gguf(name, gguf):
            path.rename(files / name)
    return Files(folder=files, gguf=fetched / gguf if gguf else None)


def _refuse_another(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise NotInstalled(f"{path.name} arrived with sha256:{found}, and the hub names {sha256}: try again")


def _ask(repository: str, ask: Callable[[], T]) -> T:
    """Asks the hub, and turns what its client raises into our errors."""
    import httpx2
    from huggingface_hub import errors

    try:
        return ask()
    except (errors.GatedRepoError, errors.DisabledRepoError) as error:
        raise NotInstalled(
            f"{repository} is given only to those who agreed to its terms: do so on its page, "
            "then set HF_TOKEN"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise NotAModel(f"the hub has no {repository} (or it is private): {_first_line(error)}") from error
    except errors.HfHubHTTPError as error:
        raise NotInstalled(f"the hub refuses {repository}: {_first_line(error)}") from error
    except (OSError, httpx2.HTTPError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NotInstalled(
            f"the hub cannot be reached ({_first_line(error)}). Without a network: fetch the model elsewhere "
            "and add its folder"
        ) from error


def _first_line(error: Any) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
