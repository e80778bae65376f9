"""One broken model never keeps the others from being served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.errors import CannotLoad, ModelError
from models.factory import build_engine, estimate_bytes
from models.loading.device import Device
from models.loop.device_loop import DeviceLoop
from models.loop.pool import WarmPool
from models.records import DocumentInput, ModelSpec
from tests.support.tiny_models import TinyModels


def _broken(tiny_models: TinyModels, tmp_path: Path, name: str, config: dict[str, Any]) -> Path:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_models[name], folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return folder


@pytest.mark.parametrize(
    ("name", "task", "config"),
    [
        ("gpt2", "generation", {"n_head": 0}),
        ("gpt2", "generation", {"n_embd": -4}),
        ("gpt2", "generation", {"n_head": 3}),
        ("llama", "generation", {"num_key_value_heads": 0}),
        ("llama", "generation", {"rope_parameters": {"rope_type": "nonsense"}}),
        ("marian", "translation", {"decoder_attention_heads": 0}),
        ("bert-classifier", "sentiment", {"num_attention_heads": 0}),
        ("bert-qa", "qa", {"hidden_size": "wide"}),
    ],
)
def test_whatever_a_config_makes_the_library_raise_the_loop_serves_the_others(
    tiny_models: TinyModels, cpu: Device, tmp_path: Path, name: str, task: str, config: dict[str, Any]
) -> None:
    """S15: a ZeroDivisionError of the library ended the device loop, and with it the worker."""
    specs = [
        ModelSpec(name="broken", task=task, ref=str(_broken(tiny_models, tmp_path, name, config))),
        ModelSpec(name="sound", task="sentiment", ref=str(tiny_models["bert-classifier"])),
    ]
    deaths: list[ModelError] = []
    pool = WarmPool(
        specs,
        build=lambda spec: build_engine(spec, cpu),
        estimate=estimate_bytes,
        budget_bytes=1 << 30,
    )
    loop = DeviceLoop(pool, on_death=deaths.append)
    loop.start()
    try:
        with pytest.raises(CannotLoad, match="broken"):
            loop.warm("broken").result(60)
        ticket = loop.submit("sound", [DocumentInput(key=0, text="A warm film.")])
        assert [output.error_code for output in ticket.outcomes(60)] == [None]
        assert deaths == []
    finally:
        loop.stop(grace_seconds=0)
