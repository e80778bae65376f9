"""CTranslate2 on the rows of a workload: by itself as a baseline, and behind our runner (`--dtype int8`).

An optional extra (`textmill[ctranslate2]`). The weights of the workload are converted by
its own converter. It takes one number of new tokens a call, so documents go in batches of
like numbers, and every document of a batch gets the batch's mean: as many tokens in all,
and none of them wasted. No real run is as kind, so what is printed is the most that
CTranslate2 could reach, and the most our runner adds to or takes from it.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctranslate2 import Generator, Translator
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from benchmarks.workload import Row, Workload
from models.batching.ctranslate import CTranslateDecoder, ctranslate_core
from models.batching.plan import Piece
from models.decoding.parameters.prompt import Prompt
from models.loading.device import available_cores

COMPUTE_TYPES = ("float32", "int8")
_BATCH = 32  # documents; its own default for translation
_Decode = Callable[[Sequence[Row], int], Sequence[int]]  #: rows and a number of tokens, to numbers of tokens


def decode(work: Workload, compute_type: str) -> float:
    """Decodes as many tokens as the workload has, batch by batch.

    Returns:
        Tokens per second; conversion and loading are not counted.

    Raises:
        RuntimeError: a document came back with another number of tokens.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = _converted(work, Path(folder), compute_type)
        call = _generating(model) if isinstance(model, Generator) else _translating(model, work.num_beams)
        return _speed(_batches(work), call)


def serve(work: Workload) -> float:
    """The same batches through the runner that serves translation models loaded as int8; as `decode`."""
    with tempfile.TemporaryDirectory() as folder:
        translator = _converted(work, Path(folder), "int8")
        loaded = replace(work.loaded, tokenizer=_tokenizer(work), dtype="int8")
        core = ctranslate_core(loaded.spec, CTranslateDecoder(loaded, translator))

        def call(rows: Sequence[Row], length: int) -> list[int]:
            params = {"num_beams": work.num_beams, "min_new_tokens": length}
            core.add([_piece(key, row, length, params) for key, row in enumerate(rows)], 6)
            done: list[Any] = []
            while len(done) < len(rows):
                done += core.step()
            return [len(result.sequences[0]) for _, result in done]

        return _speed(_batches(work), call)


def _piece(key: int, row: Row, length: int, params: dict[str, Any]) -> Piece:
    num_rows = int(params["num_beams"])
    prompt = Prompt(input_ids=row.input_ids, max_new_tokens=length, params=params, num_rows=num_rows)
    return Piece(key=key, index=0, num_tokens=len(row.input_ids) + length, num_rows=num_rows, data=prompt)


def _batches(work: Workload) -> list[list[Row]]:
    order = sorted(work.rows, key=lambda row: -row.new_tokens)
    return [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]


def _speed(batches: Sequence[Sequence[Row]], call: _Decode) -> float:
    call(batches[0][:2], 4)  # it is warm
    num_tokens, begun = 0, time.perf_counter()
    for batch in batches:
        mean = round(statistics.mean(row.new_tokens for row in batch))
        lengths = call(batch, mean)
        if set(lengths) != {mean}:
            raise RuntimeError(f"{lengths} tokens instead of {mean}")
        num_tokens += sum(lengths)
    return num_tokens / (time.perf_counter() - begun)


def _converted(work: Workload, folder: Path, compute_type: str) -> Any:
    copy.deepcopy(work.plain).float().save_pretrained(folder / "plain")
    _tokenizer(work).save_pretrained(folder / "plain")
    TransformersConverter(str(folder / "plain")).convert(str(folder / "converted"), quantization=compute_type)
    kind = Translator if work.plain.config.is_encoder_decoder else Generator
    return kind(
        str(folder / "converted"), device="cpu", compute_type=compute_type, intra_threads=available_cores()
    )


def _generating(generator: Any) -> _Decode:
    def generate(rows: Sequence[Row], length: int) -> list[int]:
        results = generator.generate_batch(
            [_tokens(row) for row in rows], max_length=length, min_length=length,
            include_prompt_in_result=False, sampling_topk=1,
        )  # fmt: skip
        return [len(result.sequences_ids[0]) for result in results]

    return generate


def _translating(translator: Any, num_beams: int) -> _Decode:
    def translate(rows: Sequence[Row], length: int) -> list[int]:
        results = translator.translate_batch(
            [_tokens(row) for row in rows], beam_size=num_beams,
            max_decoding_length=length, min_decoding_length=length,
        )  # fmt: skip
        return [len(result.hypotheses[0]) for result in results]

    return translate


def _tokenizer(work: Workload) -> PreTrainedTokenizerFast:
    """One word a token: the converter wants a vocabulary, and tokens go in by name."""
    config = work.plain.config
    names = {_name(token): token for token in range(config.vocab_size)}
    special = {"eos_token": _name(config.eos_token_id), "unk_token": _name(1)}
    if config.is_encoder_decoder:
        # By this name it knows Marian's padding, which it takes out.
        names["<pad>"] = names.pop(_name(config.pad_token_id))
        special["pad_token"] = "<pad>"
    else:
        special["bos_token"] = special["eos_token"]
    tokenizer = Tokenizer(models.WordLevel(names, unk_token=special["unk_token"]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def _tokens(row: Row) -> list[str]:
    return [_name(token) for token in row.input_ids]


def _name(token: int) -> str:
    return f"t{token}"
