"""A model whose windows and switches are made small for a while, so that short texts cross them.

The code that runs is the same; crossing 4,096 tokens to see what it does there takes a
processor minutes, crossing 6 takes a moment. Whether a setting is really read from where
it is changed shows in the model's own answers, which must change with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from models.engine.switches import Switch

#: Attributes of modules that may hold a copy of the setting; others may be as large by chance.
_COPIES = re.compile(r"window|chunk|local|radius|block|topk|scale|seq_len|position|capacity")


@contextmanager
def shrunk(model: nn.Module, switch: Switch, setting: int) -> Iterator[None]:
    """Gives one switch another setting, wherever the model keeps it, and puts it back."""
    changed: list[tuple[dict[str, Any], str, Any]] = []
    for config in configs_of(model):
        _replace(vars(config), switch, changed)
    for module in model.modules():
        for name, value in vars(module).items():
            if _is_setting_of(switch, value) and _COPIES.search(name):
                changed.append((vars(module), name, value))
    for where, name, _ in changed:
        where[name] = _with_setting(where[name], switch, setting)
    try:
        yield
    finally:
        for where, name, value in changed:
            where[name] = value


def configs_of(model: nn.Module) -> list[Any]:
    """The configurations of a model and of its parts, each once."""
    found: dict[int, Any] = {}
    waiting = [module.config for module in model.modules() if hasattr(module, "config")]
    while waiting:
        config = waiting.pop()
        if id(config) not in found and hasattr(config, "__dict__"):
            found[id(config)] = config
            waiting += [value for value in vars(config).values() if hasattr(value, "to_diff_dict")]
    return list(found.values())


def _replace(
    settings: dict[str, Any], switch: Switch, changed: list[tuple[dict[str, Any], str, Any]]
) -> None:
    for name, value in settings.items():
        if isinstance(value, dict):
            _replace(value, switch, changed)
        elif name == switch.name and _is_setting_of(switch, value):
            changed.append((settings, name, value))


def _is_setting_of(switch: Switch, value: Any) -> bool:
    if isinstance(value, list | tuple):
        return switch.setting in value
    return type(value) is int and value == switch.setting


def _with_setting(value: Any, switch: Switch, setting: int) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(setting if each == switch.setting else each for each in value)
    return setting
