"""Fixtures of the tests that compute with small random models."""

from __future__ import annotations

from functools import cache

import pytest

from models.loading.device import Device, prepare_device
from models.loading.registry import LoadedModel, load_model
from models.records import ModelSpec
from tests.support.tiny_models import Loader, TinyModels


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return TinyModels(tmp_path_factory.mktemp("tiny-models"))


@pytest.fixture(scope="session")
def cpu() -> Device:
    return prepare_device("cpu", num_threads=1)


@pytest.fixture(scope="session")
def loaded(tiny_models: TinyModels, cpu: Device) -> Loader:
    """Loads a small random model for a task."""
    return _loader(tiny_models, cpu)


@pytest.fixture(scope="session")
def loaded_on_gpu(tiny_models: TinyModels) -> Loader:
    """As `loaded`, on the first CUDA device."""
    return _loader(tiny_models, prepare_device("cuda:0"))


def _loader(tiny_models: TinyModels, device: Device) -> Loader:
    @cache
    def make(task: str, name: str) -> LoadedModel:
        ref = str(tiny_models[name])
        return load_model(
            ModelSpec(name=name, task=task, ref=ref, dtype="float32", max_batch_tokens=2048), device
        )

    return make
