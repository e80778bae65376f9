"""Who is computed with whom changes no byte of a window's scores, where that is said of a model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.batching.plan import stepped_length
from models.encoders.company import Company
from models.encoders.forward import Padding
from models.encoders.framing import Tokens
from models.encoders.proof import Proof, Way
from models.loading.device import prepare_device
from models.loading.packing import PackedLinear, pack, packs
from models.loading.registry import LoadedModel
from models.records import DocumentInput
from models.tasks.sentiment import SentimentEngine
from tests.support.engines import drain
from tests.support.tiny_encoders import random_texts, tiny

_KINDS = ("bert", "roberta", "gpt2")
_can_pack = pytest.mark.skipif(
    not packs("float32", prepare_device("cpu"), decodes=False), reason="this torch packs no float32 weights"
)


@given(st.integers(1, 100_000))
def test_a_length_is_padded_by_an_eighth_at_most(num_tokens: int) -> None:
    padding = stepped_length(num_tokens) - num_tokens
    assert 0 <= padding <= max(7, num_tokens / 8)
    assert stepped_length(stepped_length(num_tokens)) == stepped_length(num_tokens)


def test_there_are_few_lengths() -> None:
    """Each is a batch of its own."""
    assert len({stepped_length(number) for number in range(1, 513)}) <= 40


def test_a_window_is_never_padded_beyond_what_is_proven_or_read() -> None:
    proof = Proof(way=Way.BATCHES, padding=Padding(side="right", token_id=0), proven_tokens=61)
    company = Company(proof=proof, max_tokens=130, is_stepped=True)
    assert company.length(_row(61)) == 61
    assert company.length(_row(62)) == 62  # alone, as transformers would
    assert (
        Company(proof=replace(proof, proven_tokens=None), max_tokens=130, is_stepped=True).length(_row(129))
        == 130
    )


def test_a_window_that_holds_the_padding_token_is_not_padded() -> None:
    """A decoder that classifies would take its last token for padding."""
    padding = Padding(side="right", token_id=5, is_ours=True)
    company = Company(proof=Proof(way=Way.BATCHES, padding=padding), max_tokens=100, is_stepped=True)
    assert company.length(Tokens(ids=[7, 5, 9], types=None)) == 3
    assert company.length(Tokens(ids=[7, 6, 9], types=None)) == 8


@_can_pack
@torch.inference_mode()
def test_a_product_of_one_row_is_the_same_bytes_as_among_many() -> None:
    """MKL adds up in another order for fewer than 16 rows, oneDNN for a single one."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(1536, 384))
    rows = torch.randn(40, 1536)
    packed = pack(layer)
    many = packed(rows)
    for count in (1, 2, 3, 16, 17):
        assert torch.equal(packed(rows[:count]), many[:count])
    assert torch.equal(packed(rows[0]), many[0])


@_can_pack
@torch.inference_mode()
def test_a_layer_whose_weight_its_module_reads_is_left_as_it_is() -> None:
    """Jamba's recurrence failed with packed weights: the layer's own weight was empty."""
    plain = _ReadsWeight()
    rows = torch.randn(3, 8)
    right = plain(rows)
    packed = pack(plain)
    assert type(packed.read) is nn.Linear
    assert isinstance(packed.called, PackedLinear)
    torch.testing.assert_close(packed(rows), right)


@_can_pack
@pytest.mark.parametrize("kind", _KINDS)
def test_a_text_has_the_same_bytes_in_any_company(kind: str) -> None:
    """Logits changed by 1e-6 with the padding and with the number of texts beside."""
    texts = [*dict.fromkeys(random_texts(16, lengths=(1, 2, 5, 11, 12))), " ".join(random_texts(20))]
    model = tiny(kind, "sentiment")
    pack(model.model)
    alone = _scores(model, texts, at_a_time=1)
    for max_batch_tokens in (8192, 100):
        for seed in range(1):
            order = random.Random(seed).sample(texts, k=len(texts))
            assert _scores(model, order, max_batch_tokens=max_batch_tokens) == alone


def test_a_model_that_keeps_no_bytes_does_not_say_so() -> None:
    """In int8 activations are scaled by the largest of a batch; here each row takes from all."""
    model = tiny("bert", "sentiment")
    assert not SentimentEngine(replace(model, model=cast("Any", _Neighbourly(model.model)))).describe()[
        "keeps_bytes"
    ]


def _scores(
    model: LoadedModel, texts: Sequence[str], *, at_a_time: int = 1000, max_batch_tokens: int = 8192
) -> Mapping[str, Any]:
    engine = SentimentEngine(replace(model, spec=replace(model.spec, max_batch_tokens=max_batch_tokens)))
    assert engine.describe()["keeps_bytes"]
    scores: dict[str, Any] = {}
    for start in range(0, len(texts), at_a_time):
        part = [DocumentInput(key=text, text=text) for text in texts[start : start + at_a_time]]
        scores |= {str(key): output.output for key, output in drain(engine, part).items()}
    assert None not in scores.values()
    return scores


def _row(num_tokens: int) -> Tokens:
    return Tokens(ids=list(range(1, num_tokens + 1)), types=None)


class _ReadsWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read, self.called = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, rows: Tensor) -> Tensor:
        called: Tensor = self.called(rows)
        return called @ self.read.weight


class _Neighbourly(nn.Module):
    """Rounding that depends on the company, as a stand-in for kernels that another processor has."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Any = None) -> Any:
        outputs = self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        outputs.logits = outputs.logits * (1 + 1e-6 * len(input_ids))
        return outputs

    def num_parameters(self) -> int:
        return int(self.model.num_parameters())
