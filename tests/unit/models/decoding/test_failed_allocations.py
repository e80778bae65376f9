"""Memory that runs out at any point of a document's way costs at most this document, whichever engine decodes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest

from models.decoding.parameters.prompt import Decoded, Prompt, PromptMaker
from models.errors import DocumentError, OutOfMemory
from models.loading.registry import LoadedModel
from tests.support.decoding import generate_alone
from tests.support.failing_memory import FailingMemory
from tests.support.groups import make_group_core
from tests.support.paged import make_paged_core
from tests.support.tiny_models import Loader, TinyModels

_PARAMETERS: tuple[dict[str, Any], ...] = ({}, {"repetition_penalty": 1.3}, {"num_beams": 3})
_BEAMS: tuple[dict[str, Any], ...] = (
    {"num_beams": 2}, {"num_beams": 2, "repetition_penalty": 1.3}, {"num_beams": 3},
)  # fmt: skip


def _by_groups(loaded: LoadedModel) -> Any:
    return make_group_core(loaded, by="cpu")[0]


def _by_pages(loaded: LoadedModel) -> Any:
    return make_paged_core(loaded)[0]


_ENGINES = {
    "groups, decoder": (_by_groups, "generation", "gpt2", _BEAMS),
    "groups, encoder-decoder": (_by_groups, "translation", "marian", _PARAMETERS),
    "pages, decoder": (_by_pages, "generation", "gpt2", _PARAMETERS[:2]),
}
_QUICK = {"groups, decoder": 61, "groups, encoder-decoder": 61, "pages, decoder": 61}


@pytest.mark.parametrize(
    ("make", "task", "name", "parameters", "stride"),
    [
        *(pytest.param(*_ENGINES[name], stride, id=name) for name, stride in _QUICK.items()),
        *(
            pytest.param(*parts, 1, id=f"{name}, every one", marks=pytest.mark.slow)
            for name, parts in _ENGINES.items()
        ),
    ],
)
def test_an_allocation_that_fails_costs_one_document_at_most(
    make: Callable[[LoadedModel], Any],
    task: str,
    name: str,
    parameters: tuple[dict[str, Any], ...],
    stride: int,
    loaded: Loader,
    tiny_models: TinyModels,
) -> None:
    """L2: a failed allocation left the step, or let every later document fail for good with KeyError.

    Every allocation (or every `stride`-th) fails in turn, on one core that is never made anew.
    """
    model = loaded(task, name)
    plain = loaded(task, name).model
    prompts = _prompts(model, parameters)
    right = [generate_alone(plain, model.tokenizer, prompt) for prompt in prompts]
    core = make(model)
    _settle(core, prompts)  # what is made once is made
    number = 0
    while True:
        results, has_failed = _settle_while_failing(core, prompts, number)
        failed = [key for key, result in results.items() if isinstance(result, DocumentError)]
        assert len(failed) <= 1, (number, results)
        assert all(isinstance(results[key], OutOfMemory) for key in failed), (number, results)
        for key, result in results.items():
            if isinstance(result, Decoded):
                expected = [ids[: len(mine)] for ids, mine in zip(right[key], result.sequences, strict=True)]
                assert result.sequences == expected, number
        if not has_failed:
            break
        number += stride
    assert number > 3 * stride


def _prompts(model: LoadedModel, parameters: tuple[dict[str, Any], ...]) -> list[Prompt]:
    maker = PromptMaker(model)
    texts = ["the old house", "a", "the dog sees the old house and the cat sees the dog in it"]
    return [
        maker.make(model.tokenizer(text)["input_ids"], params, max_new_tokens=4)
        for text, params in zip(texts, parameters, strict=False)
    ]


def _settle_while_failing(core: Any, prompts: list[Prompt], at: int) -> tuple[dict[Any, Any], bool]:
    """The outcomes of documents of which the last comes later, with one failed allocation on its way."""
    results: dict[Hashable, Any] = {}
    for key, prompt in enumerate(prompts[:-1]):
        core.add(key, prompt, priority=3)
    results.update(core.step())
    core.add(len(prompts) - 1, prompts[-1], priority=3)
    memory = FailingMemory(at)
    with memory:
        while core.has_work and not memory.has_failed:
            results.update(core.step())
    return results | _settle(core, []), memory.has_failed


def _settle(core: Any, prompts: list[Prompt]) -> dict[Any, Any]:
    results: dict[Hashable, Any] = {}
    for key, prompt in enumerate(prompts):
        core.add(key, prompt, priority=3)
    for _ in range(200):
        if not core.has_work:
            return results
        results.update(core.step())
    pytest.fail("documents are still inside")
