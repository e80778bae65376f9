"""Folders of the zoo, each built once in a session."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch

from tests.zoo.folders import Folders


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="package", autouse=True)
def _one_thread_and_own_verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tiny products gain nothing from threads; what a probe finds out is not the developer's business."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("verdicts")))
        yield
    logging.disable(logging.NOTSET)
    torch.set_num_threads(threads)
