"""Tokens that cannot be read while the next step is on its way: nobody gets another one's."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest

from models.decoding.flight import Flight
from models.decoding.parameters.prompt import Decoded, PromptMaker
from models.loading.registry import LoadedModel
from tests.support.decoding import expect_each_alone
from tests.support.groups import make_group_core
from tests.support.paged import make_paged_core
from tests.support.tiny_models import WORDS, Loader


def _by_groups(loaded: LoadedModel) -> Any:
    return make_group_core(loaded, by="reference")[0]


def _by_pages(loaded: LoadedModel) -> Any:
    return make_paged_core(loaded, by="reference")[0]


@pytest.mark.parametrize("is_launch_failing", [False, True], ids=["landing", "launch and landing"])
@pytest.mark.parametrize(
    ("make", "task", "name", "params"),
    [
        pytest.param(_by_pages, "generation", "gpt2", {"repetition_penalty": 1.3}, id="rows"),
        pytest.param(_by_groups, "generation", "gpt2", {"num_beams": 2}, id="beams"),
        pytest.param(_by_groups, "translation", "marian", {}, id="encoder-decoder"),
    ],
)
def test_a_step_behind_one_that_failed_is_nobodys(
    make: Callable[[LoadedModel], Any],
    task: str,
    name: str,
    params: dict[str, Any],
    is_launch_failing: bool,
    loaded: Loader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tokens were noted for whoever sat there by then, and documents had ends of others.

    Some documents are so short that the step is their only one; others wait, and have done nothing wrong.
    """
    model = loaded(task, name)
    maker = PromptMaker(model)
    prompts = [
        maker.make(
            model.tokenizer(" ".join(WORDS[(5 * number + k) % len(WORDS)] for k in range(1 + number % 6)))[
                "input_ids"
            ],
            params,
            max_new_tokens=1 + number % 5,
        )
        for number in range(30)
    ]
    said, num_read = Flight._said, 0
    core = make(model)
    launch = core._launcher.launch

    def unread(self: Flight) -> Any:
        nonlocal num_read
        num_read += 1
        if num_read % 4 == 0 and num_read < 40:
            raise RuntimeError("the copy failed")
        return said(self)

    def launched(*asked: Any) -> Any:
        if is_launch_failing and num_read % 4 == 3 and core._flight is not None and num_read < 40:
            raise RuntimeError("the launch failed")
        return launch(*asked)

    monkeypatch.setattr(Flight, "_said", unread)
    monkeypatch.setattr(core._launcher, "launch", launched)
    results: dict[Hashable, Any] = {}
    for key, prompt in enumerate(prompts):
        core.add(key, prompt, priority=6)
    for _ in range(2000):
        if not core.has_work:
            break
        for key, result in core.step():
            assert key not in results
            results[key] = result
    assert num_read > 40
    failed = {key: each for key, each in results.items() if not isinstance(each, Decoded)}
    # Only who is alone in a step that fails is at fault; these fail whoever is in them.
    assert all(str(error).endswith("failed") for error in failed.values()), failed
    assert len(failed) <= 3, failed
    right = [key for key in range(len(prompts)) if key not in failed]
    expect_each_alone(
        {place: results[key] for place, key in enumerate(right)},
        [prompts[key] for key in right],
        model.model,
        model.tokenizer,
    )
