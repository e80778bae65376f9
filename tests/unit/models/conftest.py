"""Fixtures of the tests that compute with small random models."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from models.device import Device, prepare_device
from models.records import ModelSpec
from models.registry import LoadedModel, load_model
from tests.support.tiny_models import TinyModels


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return TinyModels(tmp_path_factory.mktemp("tiny-models"))


@pytest.fixture(scope="session")
def cpu() -> Device:
    return prepare_device("cpu", num_threads=1)


@pytest.fixture(scope="session")
def loaded(tiny_models: TinyModels, cpu: Device) -> Callable[[str, str], LoadedModel]:
    """Loads a small random model for a task."""

    @cache
    def make(task: str, name: str) -> LoadedModel:
        spec = ModelSpec(name=name, task=task, ref=str(tiny_models[name]), max_batch_tokens=2048)
        return load_model(spec, cpu)

    return make
