"""CTranslate2 on the rows of a workload, as a baseline; an optional extra (`textmill[ctranslate2]`).

The weights of the workload are converted by its own converter. It takes one number of
new tokens a call, so documents go in batches of like numbers, and every document of a
batch gets the batch's mean: as many tokens in all, and none of them wasted. No real run
is as kind, so what is printed is the most that CTranslate2 could reach.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from benchmarks.workload import Row, Workload
from models.device import available_cores

COMPUTE_TYPES = ("float32", "int8")
_BATCH = 32  # documents; its own default for translation


def decode(work: Workload, compute_type: str) -> float:
    """Decodes as many tokens as the workload has.

    Returns:
        Tokens per second; conversion and loading are not counted.

    Raises:
        RuntimeError: a document came back with another number of tokens.
    """
    order = sorted(work.rows, key=lambda row: -row.new_tokens)
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    num_tokens = 0
    with tempfile.TemporaryDirectory() as folder:
        model = _converted(work, Path(folder), compute_type)
        model(batches[0][:2], 4)  # it is warm
        begun = time.perf_counter()
        for batch in batches:
            mean = round(statistics.mean(row.new_tokens for row in batch))
            lengths = model(batch, mean)
            if set(lengths) != {mean}:
                raise RuntimeError(f"{lengths} tokens instead of {mean}")
            num_tokens += sum(lengths)
        return num_tokens / (time.perf_counter() - begun)


def _converted(work: Workload, folder: Path, compute_type: str) -> Any:
    """A function from rows, and a number of tokens, to the numbers that came back."""
    from ctranslate2 import Generator, Translator
    from ctranslate2.converters import TransformersConverter

    copy.deepcopy(work.plain).float().save_pretrained(folder / "plain")
    _tokenizer(work).save_pretrained(folder / "plain")
    TransformersConverter(str(folder / "plain")).convert(str(folder / "converted"), quantization=compute_type)
    options = {"device": "cpu", "compute_type": compute_type, "intra_threads": available_cores()}
    if not work.plain.config.is_encoder_decoder:
        generator = Generator(str(folder / "converted"), **options)

        def generate(rows: list[Row], length: int) -> list[int]:
            results = generator.generate_batch(
                [_tokens(row) for row in rows], max_length=length, min_length=length,
                include_prompt_in_result=False, sampling_topk=1,
            )  # fmt: skip
            return [len(result.sequences_ids[0]) for result in results]

        return generate
    translator = Translator(str(folder / "converted"), **options)

    def translate(rows: list[Row], length: int) -> list[int]:
        results = translator.translate_batch(
            [_tokens(row) for row in rows], beam_size=work.num_beams,
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
