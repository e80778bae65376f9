"""What a program gets of our own environment: what every program needs, and by name what it needs itself.

A secret in the environment of a process can be read by whatever runs in it and by whoever
may look at it; a worker that runs foreign models needs no API keys, and Flower no database.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import Flag, auto


class Needs(Flag):
    """What a program needs beside the ordinary."""

    NOTHING = 0
    SETTINGS = auto()  #: every TEXTMILL_ variable that is no secret
    KEYS = auto()  #: who may enter
    DATABASE = auto()
    BROKER = auto()
    MODELS = auto()  #: the hub's settings and token; those of CUDA, torch and the threads of its libraries


_SECRETS = {
    Needs.KEYS: ("API_KEYS", "ADMIN_KEY", "SECRET"),
    Needs.DATABASE: ("DATABASE_URL",),
    Needs.BROKER: ("REDIS_URL",),
}
_OURS = "TEXTMILL_"
#: Of the client: its key for some server is no program's business.
_FOR_CLIENTS = (f"{_OURS}API_KEY", f"{_OURS}API_KEY_FILE")

#: Where things are, how numbers and times are written, how to get out, and how the
#: dynamic loader, Python and the allocator are led: what an operator sets for all programs.
_ORDINARY = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP",
    "VIRTUAL_ENV", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "SYSTEMROOT", "GLIBC_TUNABLES",
})  # fmt: skip
_OF_ALL = ("LC_", "XDG_", "PYTHON", "LD_", "DYLD_", "MALLOC_", "SSL_CERT_", "COVERAGE_")
_OF_MODELS = (
    "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TOKENIZERS_", "SAFETENSORS_", "TORCH", "PYTORCH", "ATEN_",
    "TRITON_", "CUDA", "CUBLAS", "CUDNN", "NVIDIA_", "NCCL_", "NUMBA_", "OMP_", "GOMP_", "KMP_", "MKL_",
    "OPENBLAS_", "BLIS_", "DNNL_", "ONEDNN_", "LRU_CACHE_", "CT2_",
)  # fmt: skip
_FAMILIES = {
    Needs.NOTHING: _OF_ALL,  # nothing is in all needs
    Needs.SETTINGS: (_OURS,),
    Needs.DATABASE: ("PG",),  # PostgreSQL's client library takes passwords and certificates from these
    Needs.MODELS: _OF_MODELS,
}


def environment_for(needs: Needs, extra: Mapping[str, str], *, also: Iterable[str] = ()) -> dict[str, str]:
    """The environment of a program.

    Args:
        needs: What it needs.
        extra: Laid over what it gets of ours; of this too only the secrets it needs.
        also: Names of further variables that it gets.
    """
    withheld = {
        f"{_OURS}{name}{suffix}"
        for kind, names in _SECRETS.items()
        if kind not in needs
        for name in names
        for suffix in ("", "_FILE")
    }
    families = tuple(name for kind, names in _FAMILIES.items() if kind in needs for name in names)
    names = _ORDINARY.union(also)
    ours = {n: v for n, v in os.environ.items() if n.upper() in names or n in names or n.startswith(families)}
    return {n: v for n, v in {**ours, **extra}.items() if n not in withheld and n not in _FOR_CLIENTS}


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment as it is, but for who may enter a server: for a worker started by hand."""
    names = {*_FOR_CLIENTS, *(f"{_OURS}{n}{s}" for n in _SECRETS[Needs.KEYS] for s in ("", "_FILE"))}
    return {name: value for name, value in environment.items() if name not in names}
