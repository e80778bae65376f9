"""The zoo's own promises: that it is large and lively enough to notice what goes wrong."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from tests.zoo.documents import documents
from tests.zoo.entries import ENTRIES
from tests.zoo.entry import Entry
from tests.zoo.folders import Folders
from tests.zoo.oracle import Oracle
from tests.zoo.slow_tokenizers import SLOW
from tests.zoo.tokenizers import KINDS

#: Types of configs; every one must be proven, and none go one document at a time.
_PROMISED = frozenset({
    "gpt2", "llama", "llama4_text", "qwen2", "qwen3", "mistral", "mixtral", "phi3", "gemma2", "gemma3_text",
    "olmo", "falcon", "gpt_neox", "opt", "bloom",
    "marian", "t5", "mt5", "bart", "mbart", "m2m_100", "pegasus",
    "bert", "roberta", "xlm-roberta", "deberta", "deberta-v2", "distilbert", "albert", "electra", "modernbert",
    "xlnet", "longformer",
})  # fmt: skip
_SAMPLE = [
    entry for entry in ENTRIES
    if f"{entry.task} {entry.name}" in {
        "generation GPT-2", "generation Llama 4, chunks crossed", "generation OPT, norms after", "generation RWKV",
        "translation Marian", "generation T5, gated", "sentiment BERT", "sentiment XLNet", "qa DeBERTa v3",
    }
]  # fmt: skip


def test_there_are_at_least_70_architectures_and_every_promised_one() -> None:
    assert len({_type_of(entry) for entry in ENTRIES}) >= 70
    assert {_type_of(entry) for entry in ENTRIES if entry.is_promised} >= _PROMISED


def test_names_are_unique_within_a_task() -> None:
    names = [(entry.task, entry.name) for entry in ENTRIES]
    assert len(names) == len(set(names))


def test_every_kind_of_tokenizer_is_used() -> None:
    assert {entry.tokenizer for entry in ENTRIES} == {*KINDS, *SLOW}


@pytest.mark.parametrize("task", ["generation", "translation", "sentiment", "qa"])
def test_the_quick_share_has_every_task(task: str) -> None:
    assert any(entry.is_quick and entry.task == task for entry in ENTRIES)


@pytest.mark.parametrize("entry", _SAMPLE, ids=[f"{entry.task} {entry.name}" for entry in _SAMPLE])
def test_outputs_differ_between_inputs(entry: Entry, folders: Folders) -> None:
    oracle = Oracle(entry, folders[entry])
    rights = {oracle.right(document) for document in documents(entry, oracle.tokenizer)}
    assert len(rights) >= len(documents(entry, oracle.tokenizer)) * 2 // 3


@pytest.mark.parametrize("entry", _SAMPLE[:3], ids=[entry.name for entry in _SAMPLE[:3]])
@torch.inference_mode()
def test_the_first_token_of_a_prompt_matters_to_the_last(entry: Entry, folders: Folders) -> None:
    oracle = Oracle(entry, folders[entry])
    ids = torch.arange(5, 15).repeat(2, 1)
    ids[1, 0] = 40
    one, other = oracle.model(ids, use_cache=False).logits[:, -1]
    assert (one - other).norm() > 0.02 * one.norm()


def _type_of(entry: Entry) -> str:
    return str(getattr(hf, entry.model).config_class.model_type)
