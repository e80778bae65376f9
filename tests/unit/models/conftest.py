"""Fixtures of the tests that compute with small random models."""

from __future__ import annotations

import pytest

from models.device import Device, prepare_device
from tests.support.tiny_models import TinyModels


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return TinyModels(tmp_path_factory.mktemp("tiny-models"))


@pytest.fixture(scope="session")
def cpu() -> Device:
    return prepare_device("cpu", num_threads=1)
