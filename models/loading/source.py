"""Where a model's files are and which revision they are: `bundled:NAME`, a folder, or a hub id.

Reads the configuration and nothing else. Offline behaviour, cache folder and token
follow Hugging Face's own variables (`HF_HUB_OFFLINE`, `HF_HOME`, `HF_TOKEN`, ...).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.utils.hub import cached_file

from models.errors import CannotLoad, CannotLoadNow
from models.loading.config_checks import refuse_hostile
from models.loading.weight_files import (
    DIGEST,
    INDEX,
    fingerprint,
    indexed_names,
    refuse_odd_files,
    weight_files,
)
from models.memory import is_out_of_memory

BUNDLED_PREFIX = "bundled:"
_BUNDLED_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
#: Pickled weights and those of other libraries.
_OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf", "*.onnx")
#: Names, since the hub's client has changed its HTTP library before.
_CONNECTION_ERRORS = {
    "ConnectionError",
    "TimeoutError",
    "TransportError",
    "TimeoutException",
    "HfHubHTTPError",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model's files, pinned."""

    location: str  #: a folder, or a hub id
    #: hub: the commit; folder: `sha256:` over its configuration and weights
    revision: str | None
    is_local: bool
    config: PretrainedConfig

    @property
    def pinned(self) -> dict[str, Any]:
        """Arguments for `from_pretrained` that read exactly these files and run none of their code."""
        revision = None if self.is_local else self.revision
        return {"revision": revision, "trust_remote_code": False}


def find_source(ref: str, revision: str | None) -> Source:
    """Finds the files behind a reference and reads their configuration.

    A folder has no revisions; one that is asked for by its digest is compared with it.

    Raises:
        CannotLoad: there is nothing there, its configuration is refused, or it is another model.
        CannotLoadNow: the hub could not be reached.
    """
    folder = _folder_of(ref)
    location = str(folder) if folder else ref
    if folder:
        refuse_odd_files(folder)
    raw = read_files(ref, lambda: PretrainedConfig.get_config_dict(location, revision=revision)[0])
    refuse_hostile(raw, ref)
    config = read_files(
        ref, lambda: AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False)
    )
    found = fingerprint(folder) if folder else getattr(config, "_commit_hash", None) or revision
    if folder and revision and revision.startswith(DIGEST) and revision != found:
        raise CannotLoad(
            f"{ref}: its configuration or weights are not those that were asked for: "
            f"{found}, not {revision}; add or fetch the model again"
        )
    return Source(
        location=location,
        revision=found,
        is_local=folder is not None,
        config=config,
    )


def read_files(ref: str, read: Callable[[], Any]) -> Any:
    """Calls into transformers, and turns what it raises about files into our errors.

    Raises:
        CannotLoad: the files are missing, damaged or of a kind that is not read.
        CannotLoadNow: the hub could not be reached.
    """
    try:
        return read()
    except OSError as error:
        raise (CannotLoadNow if _is_passing(error) else CannotLoad)(f"{ref}: {error}") from error
    except Exception as error:  # foreign code reading foreign files: no list of types is complete
        if is_out_of_memory(error):
            raise
        raise CannotLoad(f"{ref}: {type(error).__name__}: {error}") from error


def refuse_other_weights(source: Source, class_name: str) -> None:
    """Refuses a folder whose weights are of a kind that is not read, and says how to convert them.

    Raises:
        CannotLoad: there are no weights, or only pickled ones, which can run code.
    """
    folder = Path(source.location)
    if not source.is_local or weight_files(folder):
        return
    others = sorted(path.name for pattern in _OTHER_WEIGHTS for path in folder.glob(pattern))
    if not others:
        raise CannotLoad(f"{source.location}: there are no weights: no file ends in .safetensors")
    raise CannotLoad(
        f"{source.location}: only .safetensors files are read, because others can run code when they are "
        f"opened; there is {', '.join(others[:3])}. If you trust it, convert it once, in Python: "
        f"from transformers import AutoTokenizer, {class_name}; "
        f"{class_name}.from_pretrained({source.location!r}).save_pretrained('NEW_FOLDER'); "
        f"AutoTokenizer.from_pretrained({source.location!r}).save_pretrained('NEW_FOLDER')"
    )


def refuse_foreign_shards(source: Source) -> None:
    """Refuses a model whose index of shards names anything but safetensors files beside it.

    Raises:
        CannotLoad: it does.
        CannotLoadNow: the hub could not be reached.
    """
    if source.is_local:
        weight_files(Path(source.location))
        return
    index = read_files(
        source.location,
        lambda: cached_file(
            source.location,
            INDEX,
            revision=source.revision,
            _raise_exceptions_for_missing_entries=False,
        ),
    )
    if index is not None:
        indexed_names(Path(index))


def weights_bytes(ref: str) -> int:
    """Bytes of the weight files of a bundled or local model; 0 for one on the hub."""
    folder = _folder_of(ref)
    return sum(path.stat().st_size for path in weight_files(folder)) if folder else 0


def _folder_of(ref: str) -> Path | None:
    if ref.startswith(BUNDLED_PREFIX):
        return _bundled(ref.removeprefix(BUNDLED_PREFIX))
    path = Path(ref).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or ref.startswith((".", "~")):
        raise CannotLoad(f"there is no folder {ref}")
    return None


def _bundled(name: str) -> Path:
    root = Path(str(resources.files("models"))) / "bundled"
    if _BUNDLED_NAME.fullmatch(name) and (root / name).is_dir():
        return root / name
    names = sorted(path.name for path in root.glob("*") if path.is_dir()) if root.is_dir() else []
    raise CannotLoad(f"there is no bundled model {name!r}; there are: {', '.join(names) or 'none'}")


def _is_passing(error: BaseException | None) -> bool:
    """Whether a lost connection is behind it. Being offline on purpose is not passing."""
    while error is not None:
        names = {cls.__name__ for cls in type(error).__mro__}
        if "OfflineModeIsEnabled" in names:
            return False
        if names & _CONNECTION_ERRORS:
            status = getattr(getattr(error, "response", None), "status_code", None)
            return status is None or status >= 500 or status == 429
        error = error.__cause__ or error.__context__
    return False
