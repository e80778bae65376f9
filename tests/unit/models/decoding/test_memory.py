"""What the decoding engine does where memory is short, and how much of it it takes."""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers as hf
from torch.utils._python_dispatch import TorchDispatchMode

from models.decoding.core import PagedCore
from models.decoding.limits import affordable_pages
from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.scheduling.scheduler import Limits
from models.loading.device import Device
from tests.support.groups import make_group_core
from tests.support.paged import make_paged_core
from tests.support.random_models import DECODER, EOS, NUM_TOKENS, PAD, load_random, save_random
from tests.support.tiny_models import Loader


def _run(core: PagedCore) -> dict[Any, Any]:
    results: dict[Any, Any] = {}
    while core.has_work:
        results |= dict(core.step())
    return results


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the process's memory")
def test_a_cpus_cache_stays_within_its_budget_and_falls_back_while_one_document_goes_on(
    tmp_path: Path, cpu: Device
) -> None:
    """L3: the cache took up to five times its budget, and shrank only when the model was wholly idle."""
    sizes = {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 128, "num_hidden_layers": 4}
    loaded = load_random(
        save_random(tmp_path / "m", hf.LlamaConfig(**{**DECODER, **sizes}), hf.LlamaForCausalLM), cpu
    )
    limits = Limits(max_rows=64, num_pages=180, max_entries=400, chunk_sizes=(256,), max_begun=64)
    core, program = make_paged_core(loaded, limits, by="cpu")
    assert program.pages.page_bytes == 2**19
    core.add("warm", Prompt(input_ids=[9, 8], max_new_tokens=2, params={}), priority=6)
    _run(core)
    before, taken = _resident_bytes(), []
    core.add(
        "long", Prompt(input_ids=[9, 8, 7], max_new_tokens=130, params={"min_new_tokens": 130}), priority=6
    )
    for number in range(60):
        prompt = Prompt(input_ids=[9, 5 + number], max_new_tokens=40, params={"min_new_tokens": 40})
        core.add(number, prompt, priority=6)
    results: dict[Any, Any] = {}
    while core.has_work:
        results |= dict(core.step())
        taken.append((len(results), _resident_bytes() - before))
    budget = limits.num_pages * program.pages.page_bytes
    most = max(size for _, size in taken)
    assert budget / 2 < most <= 1.1 * budget
    assert min(size for count, size in taken if count == 60) < most / 4
    assert all(isinstance(result, Decoded) for result in results.values())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the process's memory")
def test_what_encoders_have_read_is_given_back_while_one_document_goes_on(
    tmp_path: Path, cpu: Device
) -> None:
    """L3: of encoder-decoders both kinds of pages count, the decoder's own and those of sources."""
    sizes = {"d_kv": 128, "num_heads": 8, "num_layers": 4}
    ids = {"pad_token_id": PAD, "eos_token_id": EOS, "decoder_start_token_id": PAD}
    config = hf.T5Config(vocab_size=NUM_TOKENS, d_model=32, d_ff=48, **sizes, **ids)
    model = load_random(save_random(tmp_path / "m", config, hf.T5ForConditionalGeneration), cpu)
    limits = Limits(max_rows=64, num_pages=240, max_entries=160, chunk_sizes=(256,), max_begun=64)
    core, program = make_group_core(model, limits, by="cpu")
    assert program.pages.page_bytes == 2**20
    source = [9, 8, 7] * 20
    core.add("warm", Prompt(input_ids=source, max_new_tokens=2, params={}), priority=6)
    _run(core)
    before, taken = _resident_bytes(), []
    for number, length in enumerate([130, *[20] * 50]):
        prompt = Prompt(input_ids=source, max_new_tokens=length, params={"min_new_tokens": length})
        core.add(number, prompt, priority=6)
    results: dict[Any, Any] = {}
    while core.has_work:
        results |= dict(core.step())
        taken.append((len(results), _resident_bytes() - before))
    most = max(size for _, size in taken)
    assert 2**26 < most <= 1.1 * limits.num_pages * program.pages.page_bytes
    assert min(size for count, size in taken if count == 50) < most / 4
    assert all(isinstance(result, Decoded) for result in results.values())


class _ShortOfMemory(TorchDispatchMode):
    """One operator, counted from the beginning, finds no memory."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._left -= 1
        if self._left == 0:
            raise torch.OutOfMemoryError("DefaultCPUAllocator: can't allocate memory")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("by", ["cpu", "reference"])
def test_an_allocation_that_fails_anywhere_costs_no_document_that_has_company(
    by: Any, loaded: Loader
) -> None:
    """L2: where it failed while a document came in, the process ended."""
    model = loaded("generation", "gpt2")
    params: list[dict[str, Any]] = [{}, {"no_repeat_ngram_size": 2}, {"do_sample": True, "top_k": 5}]
    prompts = [
        Prompt(
            input_ids=[5 + n, 6, 7],
            max_new_tokens=6,
            params=params[n % 3],
            seed=n,
            stop=("zz",) if n == 4 else (),
        )
        for n in range(6)
    ]

    def decode(core: PagedCore, failing: int) -> dict[Any, Any]:
        for number, prompt in enumerate(prompts):
            core.add(number, prompt, priority=6)
        with _ShortOfMemory(failing):
            return _run(core)

    wanted = decode(make_paged_core(model, by=by)[0], 0)
    for failing in [*range(1, 40, 4), *range(60, 900, 140)]:
        core, program = make_paged_core(model, by=by)
        assert decode(core, failing) == wanted, failing
        assert not program.pages.is_allocated


@pytest.mark.parametrize(("task", "name"), [("generation", "gpt2"), ("translation", "marian")])
def test_the_pages_of_rows_and_groups_fit_one_share_of_the_memory(
    task: str, name: str, loaded: Loader
) -> None:
    """Each of a model's two pools might have taken the whole share."""
    model = loaded(task, name)
    model = replace(model, device=replace(model.device, memory_bytes=2**30))
    limits = Limits(max_rows=64, num_pages=10**9, max_entries=400, chunk_sizes=(256,))
    pages: Any = SimpleNamespace(page_bytes=2**16)
    in_all = sum(
        affordable_pages(model, pages, limits, for_groups=for_groups)
        for for_groups in ([False, True] if task == "generation" else [True])
    )
    assert 0.19 < in_all * pages.page_bytes / 2**30 <= 0.2
