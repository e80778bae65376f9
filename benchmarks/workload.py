"""Models of real sizes with random weights, and documents of skewed lengths."""

from __future__ import annotations

import copy
import csv
import dataclasses
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from models.engine import Engine
from models.loading.device import Device
from models.loading.packing import pack, packs
from models.loading.registry import Family, LoadedModel
from models.memory import memory_bytes
from models.records import DocumentInput, ModelSpec

_PROMPT_PARTS, _NEW_PARTS = 16, 3


@dataclass(frozen=True)
class Row:
    """One document: its tokens, and how many it is given back."""

    input_ids: list[int]
    new_tokens: int


@dataclass(frozen=True)
class Workload:
    """A model and what it is to do."""

    name: str
    num_beams: int
    plain: Any  #: as transformers loads it
    loaded: LoadedModel  #: as Textmill does
    rows: list[Row]

    @property
    def useful_tokens(self) -> int:
        """New tokens, over all documents."""
        return sum(row.new_tokens for row in self.rows)


def drain(engine: Engine, documents: Sequence[DocumentInput]) -> None:
    """Hands documents in and takes every outcome."""
    engine.submit(documents)
    done = 0
    while engine.has_work:
        for output in engine.step():
            if output.output is None:
                raise RuntimeError(f"document {output.key}: {output.error_message}")
            done += 1
    if done != len(documents):
        raise RuntimeError(f"{done} of {len(documents)} documents came back")


def generation(device: Device, dtype: str, count: int) -> Workload:
    """GPT-2's size (124 M); lengths of real conversations, divided so that a run on a CPU ends.

    Of 128 documents the median prompt has 62 tokens (the longest 256), the median answer 38
    (213); how short and long ones mix is the trace's.
    """
    torch.manual_seed(0)
    model = _placed(hf.GPT2LMHeadModel(hf.GPT2Config()), device, dtype)
    loaded = _loaded(model, "generation", device, dtype)
    return Workload("generation", 1, model, loaded, _prompts(count, _PROMPT_PARTS, _NEW_PARTS))


def generation_1b(device: Device, dtype: str, count: int) -> Workload:
    """The shape of Llama 3.2 1B (1.2 B parameters), for GPUs; conversations at full length."""
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=128_256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
        num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=16_384, rope_theta=500_000.0,
        tie_word_embeddings=True,
    )  # fmt: skip
    with device.torch:  # a CPU draws so many numbers for twenty seconds
        model = _placed(hf.LlamaForCausalLM(config), device, dtype)
    loaded = _loaded(model, "generation", device, dtype)
    return Workload("generation-1b", 1, model, loaded, _prompts(count, 1, 1))


def classic(device: Device, dtype: str, count: int) -> Workload:
    """The same model on the work that engines for GPUs like to be compared by.

    Prompts of 100 to 1,024 tokens, and as many new ones, evenly spread.
    """
    work = generation_1b(device, dtype, 0)
    draw = random.Random(0)
    rows = [_row(draw, draw.randint(100, 1024), draw.randint(100, 1024)) for _ in range(count)]
    return dataclasses.replace(work, name="classic", rows=rows)


def tiny(device: Device, dtype: str) -> Workload:
    """A few short documents for a model of no size, to see that a benchmark runs."""
    torch.manual_seed(0)
    config = hf.GPT2Config(
        vocab_size=200, n_embd=32, n_layer=1, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    model = _placed(hf.GPT2LMHeadModel(config), device, dtype)
    draw = random.Random(0)
    rows = [Row(draw.choices(range(1, 200), k=draw.randint(1, 20)), draw.randint(2, 5)) for _ in range(6)]
    return Workload("tiny", 1, model, _loaded(model, "generation", device, dtype), rows)


def translation(device: Device, dtype: str, count: int) -> Workload:
    """The size of opus-mt models (74 M), beam 4; sentences, some of them long."""
    torch.manual_seed(0)
    config = hf.MarianConfig(
        vocab_size=58101, decoder_vocab_size=58101, d_model=512, encoder_layers=6, decoder_layers=6,
        encoder_ffn_dim=2048, decoder_ffn_dim=2048, encoder_attention_heads=8, decoder_attention_heads=8,
        max_position_embeddings=512, pad_token_id=58100, eos_token_id=0, decoder_start_token_id=58100,
        forced_eos_token_id=0, scale_embedding=True, activation_function="swish",
    )  # fmt: skip
    model = _placed(hf.MarianMTModel(config), device, dtype)
    model.generation_config.bad_words_ids = [[58100]]
    draw = random.Random(0)
    rows = []
    for _ in range(count):
        length = _clipped(draw, 3.0, 0.8, 100)
        rows.append(_row(draw, length, min(120, max(4, int(length * draw.uniform(0.8, 1.3))))))
    return Workload("translation", 4, model, _loaded(model, "translation", device, dtype), rows)


def summarisation(device: Device, dtype: str, count: int) -> Workload:
    """BART-large's shape (406 M), greedy: texts of about 350 tokens, 128 new ones each."""
    torch.manual_seed(0)
    with device.torch:
        model = _placed(
            hf.BartForConditionalGeneration(hf.BartConfig(forced_eos_token_id=None)), device, dtype
        )
    draw = random.Random(0)
    rows = [_row(draw, draw.randint(300, 400), 128) for _ in range(count)]
    return Workload("summarisation", 1, model, _loaded(model, "translation", device, dtype), rows)


def tiny_translation(device: Device, dtype: str) -> Workload:
    """As `tiny`, with an encoder and beams."""
    torch.manual_seed(0)
    config = hf.MarianConfig(
        vocab_size=200, decoder_vocab_size=200, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2,
        max_position_embeddings=64, pad_token_id=199, eos_token_id=0, decoder_start_token_id=199,
        forced_eos_token_id=0,
    )  # fmt: skip
    model = _placed(hf.MarianMTModel(config), device, dtype)
    draw = random.Random(0)
    rows = [Row(draw.choices(range(1, 199), k=draw.randint(1, 20)), draw.randint(2, 5)) for _ in range(6)]
    return Workload("tiny", 2, model, _loaded(model, "translation", device, dtype), rows)


def _placed(model: Any, device: Device, dtype: str) -> Any:
    return model.to(device=device.torch, dtype=getattr(torch, dtype)).eval()


def _loaded(model: Any, task: str, device: Device, dtype: str) -> LoadedModel:
    ours = copy.deepcopy(model)
    return LoadedModel(
        spec=ModelSpec(name=task, task=task, ref="random"),
        family=Family.CAUSAL if task == "generation" else Family.SEQ2SEQ,
        model=pack(ours) if packs(dtype, device) else ours,
        tokenizer=_tokenizer(),
        revision=None,
        dtype=dtype,
        device=device,
        num_parameters=model.num_parameters(),
        memory_bytes=memory_bytes(ours),
    )


def _tokenizer() -> hf.PreTrainedTokenizerFast:
    """One that knows next to nothing: rows are tokens already."""
    words = Tokenizer(WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return hf.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>")


def _prompts(count: int, prompt_parts: int, new_parts: int) -> list[Row]:
    draw = random.Random(0)
    lengths = itertools.islice(itertools.cycle(_conversations()), count)
    return [_row(draw, max(4, prompt // prompt_parts), max(4, new // new_parts)) for prompt, new in lengths]


def _conversations() -> list[tuple[int, int]]:
    """Prompt and answer of 128 requests, in tokens."""
    lines = Path(__file__).with_name("azure_conversations.csv").read_text().splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return [(int(row["prompt_tokens"]), int(row["new_tokens"])) for row in rows]


def _row(draw: random.Random, length: int, new_tokens: int) -> Row:
    return Row([draw.randrange(1, 50_000) for _ in range(length)], new_tokens)


def _clipped(draw: random.Random, mu: float, sigma: float, most: int) -> int:
    return min(most, max(4, int(draw.lognormvariate(mu, sigma))))
