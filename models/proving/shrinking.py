"""A model whose windows and switches are made small for a while, so that short texts cross them.

The code that runs is the same; crossing 4,096 tokens to see what it does there takes a
processor minutes, crossing 6 takes a moment. Whether a setting is really read from where
it is changed shows in the model's own answers, which must change with it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from models.proving.derived import derived_values
from models.proving.switches import Switch


class Shrinking:
    """Another setting for one switch, wherever a model keeps it; found once, put in as often as needed."""

    def __init__(self, model: nn.Module, switch: Switch, setting: int) -> None:
        self._changes = _changes(configs_of(model), switch, setting)
        config: Any = getattr(model, "config", None)
        if config is not None:
            before, after = copy.deepcopy(config), copy.deepcopy(config)
            for place, name, value in _changes(_with_parts([after]), switch, setting):
                place[name] = value
            self._changes += [
                (one.place, one.name, one.value) for one in derived_values(model, before, after)
            ]

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The model with the other setting; afterwards with its own again."""
        before = [(place, name, place[name]) for place, name, _ in self._changes]
        for place, name, value in self._changes:
            place[name] = value
        try:
            yield
        finally:
            for place, name, value in before:
                place[name] = value


def configs_of(model: nn.Module) -> list[Any]:
    """The configurations of a model and of its parts, each once."""
    return _with_parts([module.config for module in model.modules() if hasattr(module, "config")])


def _with_parts(configs: list[Any]) -> list[Any]:
    found: dict[int, Any] = {}
    waiting = [*configs]
    while waiting:
        config = waiting.pop()
        if id(config) not in found and hasattr(config, "__dict__"):
            found[id(config)] = config
            waiting += [value for value in vars(config).values() if hasattr(value, "to_diff_dict")]
    return list(found.values())


def _changes(configs: list[Any], switch: Switch, setting: int) -> list[tuple[dict[str, Any], str, Any]]:
    return [
        (settings, name, _with_setting(settings[name], switch, setting))
        for config in configs
        for settings, name in _places(vars(config), switch)
    ]


def _places(settings: dict[str, Any], switch: Switch) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a configuration has a switch; parts of it are configurations or plain dictionaries."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _places(value, switch)
        elif name == switch.name and _is_setting_of(switch, value):
            yield settings, name


def _is_setting_of(switch: Switch, value: Any) -> bool:
    if isinstance(value, list | tuple):
        return switch.setting in value
    return type(value) is int and value == switch.setting


def _with_setting(value: Any, switch: Switch, setting: int) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(setting if each == switch.setting else each for each in value)
    return setting
