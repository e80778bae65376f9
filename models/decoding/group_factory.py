"""Puts the parts of the group core together for a model on its device."""

from __future__ import annotations

from typing import Any

from models.decoding.attention.ancestry import AncestralAttention
from models.decoding.beam_parameters import BeamParametersMaker
from models.decoding.encoder_decoder import EncoderDecoderForward, EncoderDecoderProgram
from models.decoding.encoding import Encoding, measure
from models.decoding.forward import PackedForward
from models.decoding.group_core import GroupCore
from models.decoding.group_state import GroupState
from models.decoding.kv_pages import KVPages
from models.decoding.measuring import measure as measure_packed
from models.decoding.pages import num_pages_for
from models.decoding.paired_pages import PairedPages
from models.decoding.sampling.beams import ReferenceBeams
from models.decoding.scheduler import Limits
from models.decoding.steps import Program, StepRunner
from models.engine.forward import Layout
from models.registry import Family, LoadedModel


def group_core(loaded: LoadedModel, program: Program, runner: StepRunner, limits: Limits) -> GroupCore:
    """The core of a program that `build_group_program` has built."""
    parameters = BeamParametersMaker(loaded, program.state.vocabulary)
    encoding = None
    if isinstance(program, EncoderDecoderProgram):
        config: Any = loaded.config.get_text_config(decoder=True)
        encoding = Encoding(
            program.forward,
            program.pages.source,
            max_tokens=limits.chunk_sizes[-1],
            pad_id=int(getattr(config, "pad_token_id", None) or 0),
        )
    return GroupCore(program, runner, limits, parameters, encoding)


def build_group_program(
    loaded: LoadedModel, limits: Limits, *, layout: Layout = Layout.ROWS, most_source: int = 0
) -> Program:
    """The step of a model, for groups of rows.

    Args:
        loaded: the model.
        limits: of the device.
        layout: of an encoder-decoder's tokens.
        most_source: tokens that its encoder reads at most.

    Raises:
        NotSuited: the model is of a kind that is not served here; the message says why.
    """
    if loaded.family is Family.CAUSAL:
        packed = PackedForward(loaded)
        measures = measure_packed(loaded, packed)
        state = _state(loaded, limits, measures.vocabulary, 0)
        pages = KVPages(measures.layers, measures.dtype, state.device)
        return Program(packed, AncestralAttention(), ReferenceBeams(), state, pages)
    forward = EncoderDecoderForward(loaded, layout)
    state = _state(loaded, limits, forward.vocabulary, most_source)
    own, sources, _ = measure(forward)
    paired = PairedPages(own, sources, forward.dtype, state.device)
    return EncoderDecoderProgram(forward, AncestralAttention(), ReferenceBeams(), state, paired)


def _state(loaded: LoadedModel, limits: Limits, vocabulary: int, most_source: int) -> GroupState:
    return GroupState(
        num_seats=limits.max_rows,
        most_pages=num_pages_for(limits.max_entries),
        most_source_pages=num_pages_for(most_source),
        max_chunk=limits.chunk_sizes[-1],
        vocabulary=vocabulary,
        device=loaded.device.torch,
    )
