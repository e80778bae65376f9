"""Beams by the decoding engine against `generate`, each document alone."""

from __future__ import annotations

from typing import Any

import pytest
import transformers as hf

from models.decoding.factory import Kernels
from tests.support.decoding import decode_with_random_arrivals, expect_each_alone
from tests.support.groups import make_group_core, prompts_of
from tests.support.tiny_models import Loader, TinyModels


@pytest.mark.parametrize("by", ["reference", "cpu"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral"])
def test_forty_documents_with_beams_in_any_company_equal_each_alone(
    name: str, by: Kernels, loaded: Loader, tiny_models: TinyModels
) -> None:
    model = loaded("generation", name)
    prompts = prompts_of(model, 40, seed=7)
    core, program = make_group_core(model, by=by)
    assert all(map(core.serves, prompts))
    results = decode_with_random_arrivals(core, prompts, seed=8)
    plain: Any = hf.AutoModelForCausalLM.from_pretrained(tiny_models[name]).eval()
    expect_each_alone(results, prompts, plain, model.tokenizer)
    assert program.pages.num_bytes == 0
