"""Translation by CTranslate2: int8 on a CPU, where the package is installed (extra `ctranslate2`).

On a CPU its kernels are faster than torch's (docs/decisions/0005). It decodes a batch from
beginning to end and drops what has ended by itself; which documents share a batch is
decided here as for any other model.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch

from models.batching.batch_core import BatchCore
from models.batching.begun import Bounds, at_once
from models.batching.plan import Piece
from models.decoding.limits import affordable_tokens
from models.decoding.parameters.options import OptionsMaker
from models.decoding.parameters.prompt import Decoded, Prompt
from models.errors import InvalidParameter
from models.loading.registry import LoadedModel
from models.records import ModelSpec

logger = logging.getLogger(__name__)

#: Parameters that give the same there as in transformers (`tests/unit/models/batching/test_ctranslate.py`).
_OPTIONS = {
    "num_beams": "beam_size",
    "length_penalty": "length_penalty",
    "min_new_tokens": "min_decoding_length",
}
#: Those that give something else there, or nothing, and the values at which they do not matter.
_REFUSED = {
    "repetition_penalty": (None, 1),
    "no_repeat_ngram_size": (None, 0),
    "early_stopping": (None, False, True),  # its own rule gives what both give
}
#: As many times the tokens of other batches: it drops what has ended and wants rows that go on.
_LARGER = 4
_NUM_TRIED, _TRIED_TOKENS = 3, 8
#: Log-probabilities of two kinds of int8 are a few tenths apart, those of a wrong start several.
_MOST_NATS = 1.5


class CTranslateDecoder:
    """Decodes prompts of one converted model."""

    def __init__(self, loaded: LoadedModel, translator: Any) -> None:
        self._translator = translator
        self._tokenizer: Any = loaded.tokenizer
        config = loaded.model.generation_config
        self._defaults = {name: getattr(config, name, None) for name in _OPTIONS} | {"min_new_tokens": 0}
        self._eos_id: int | None = loaded.tokenizer.eos_token_id
        #: padded tokens of a batch
        self.max_batch_tokens = _max_batch_tokens(loaded)
        #: for a result's provenance
        self.provenance = {"ctranslate2": version("ctranslate2")}

    def group(self, piece: Piece) -> Hashable:
        """Equal for prompts that may share a call."""
        prompt: Prompt = piece.data
        return (
            tuple(sorted(prompt.params.items())),
            prompt.stop,
            prompt.max_new_tokens,
            prompt.forced_bos_token_id,
        )

    def decode(self, pieces: Sequence[Piece]) -> list[Decoded | InvalidParameter]:
        """Decodes prompts of one group together."""
        prompts: list[Prompt] = [piece.data for piece in pieces]
        first = prompts[0]
        refused = _refused(first)
        if refused:
            message = f"{refused} is not done by CTranslate2 (dtype int8); bfloat16 and float32 do it"
            return [InvalidParameter(message) for _ in prompts]
        prefix = None
        if first.forced_bos_token_id is not None:
            prefix = [self._tokens([first.forced_bos_token_id])] * len(prompts)
        results = self._translator.translate_batch(
            [self._tokens(prompt.input_ids) for prompt in prompts],
            target_prefix=prefix,
            max_decoding_length=first.max_new_tokens,
            max_input_length=0,  # what is too long was cut by sentences, or is the model's own affair
            **self._options(first),
        )
        return [self._decoded(result.hypotheses[0], first.max_new_tokens) for result in results]

    def _options(self, prompt: Prompt) -> dict[str, Any]:
        given = {name: prompt.params.get(name, default) for name, default in self._defaults.items()}
        return {_OPTIONS[name]: value for name, value in given.items() if value is not None}

    def _decoded(self, tokens: Sequence[str], max_new_tokens: int) -> Decoded:
        ids = self._tokenizer.convert_tokens_to_ids(list(tokens))
        is_stopped = len(ids) < max_new_tokens
        if is_stopped and self._eos_id is not None:
            ids.append(self._eos_id)  # it was decoded, and is not handed out
        return Decoded(sequences=[ids], is_stopped=[is_stopped])

    def _tokens(self, ids: Sequence[int]) -> list[str]:
        tokens: list[str] = self._tokenizer.convert_ids_to_tokens(ids)
        return tokens


def ctranslate_core(spec: ModelSpec, decoder: CTranslateDecoder) -> BatchCore:
    """A decoder's batches: larger than others, and of any lengths, for it pads the encoder alone."""
    bounds = Bounds(max_tokens=decoder.max_batch_tokens, alike=0.0)
    facts = {"way": "batches", "decoded_by": "CTranslate2", "proven": True}
    return BatchCore(spec, at_once(decoder.decode), batch_key=decoder.group, bounds=bounds, facts=facts)


def ctranslate_decoder(loaded: LoadedModel) -> CTranslateDecoder | None:
    """A decoder for a model loaded as int8 on a CPU.

    None where CTranslate2 is not installed, or does not do with this model what transformers
    does; the log then says why.
    """
    if loaded.dtype != "int8" or not loaded.device.is_cpu or find_spec("ctranslate2") is None:
        return None
    config = loaded.model.generation_config
    if config.do_sample or any(getattr(config, n, None) not in neutral for n, neutral in _REFUSED.items()):
        return None  # what the model asks for by itself
    try:
        from models.batching.conversion import convert

        translator = convert(loaded, "int8")
        if not _agrees(translator, loaded):
            return None
    except Exception as error:  # foreign code reading foreign files: no list of types is complete
        logger.warning(
            "model is not for CTranslate2",
            extra={"action": "not_converted", "model": loaded.spec.name, "reason": repr(error)},
        )
        return None
    loaded.model._modules.clear()  # its weights are in the translator; the configuration is still wanted
    return CTranslateDecoder(loaded, translator)


def _max_batch_tokens(loaded: LoadedModel) -> int:
    """Of a batch: a multiple of what was asked for, if its keys and values have room."""
    asked = loaded.spec.max_batch_tokens
    return max(asked, min(asked * _LARGER, affordable_tokens(loaded)))


@torch.inference_mode()
def _agrees(translator: Any, loaded: LoadedModel) -> bool:
    """Whether both find a continuation of the model's equally likely.

    Its converter takes some things for granted, and not every model is like those it was made for.
    """
    model: Any = loaded.model
    start = OptionsMaker(model, loaded.tokenizer).start_token
    random = torch.Generator().manual_seed(0)
    for _ in range(_NUM_TRIED):
        source = torch.randint(0, len(loaded.tokenizer), (1, _TRIED_TOKENS), generator=random)
        produced = model.generate(source, max_new_tokens=_TRIED_TOKENS, num_beams=1, do_sample=False)[:, 1:]
        given = torch.cat([torch.tensor([[start]]), produced[:, :-1]], dim=1)
        logits = model(input_ids=source, decoder_input_ids=given, use_cache=False).logits[0]
        ours = torch.log_softmax(logits.float(), dim=-1).gather(1, produced[0][:, None])[:, 0]
        source_tokens, produced_tokens = (
            loaded.tokenizer.convert_ids_to_tokens(ids[0].tolist()) for ids in (source, produced)
        )
        theirs = translator.score_batch([source_tokens], [produced_tokens])[0].log_probs
        distance = (ours - torch.tensor(theirs[: len(ours)])).abs().max()
        if not distance < _MOST_NATS:  # a NaN is no agreement
            logger.warning(
                "CTranslate2 computes otherwise",
                extra={"action": "not_the_same", "model": loaded.spec.name, "nats": float(distance)},
            )
            return False
    return True


def _refused(prompt: Prompt) -> str | None:
    """What the prompt asks for and is not done there."""
    if prompt.stop:
        return "stop"
    if prompt.seed is not None:
        return "do_sample"
    asked = (name for name, neutral in _REFUSED.items() if prompt.params.get(name) not in neutral)
    return next(asked, None)
