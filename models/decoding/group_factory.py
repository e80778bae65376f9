"""Puts the parts of the group core together for a model on its device."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import Any

from models.decoding.attention.ancestry import AncestralAttention
from models.decoding.encoding import Encoding, measure, take_head_apart
from models.decoding.factory import Kernels, fusion_of, stored_dtype
from models.decoding.group_core import GroupCore
from models.decoding.limits import affordable_pages, group_limits_for
from models.decoding.parameters.beam_columns import BeamParametersMaker
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.encoder_decoder import EncoderDecoderForward, EncoderDecoderProgram
from models.decoding.passes.forward import PackedForward, WholeForward
from models.decoding.passes.joint_step import SourceBackend
from models.decoding.passes.reading import CapturedReadings, EagerReadings, Reading, Readings
from models.decoding.passes.steps import EagerSteps, Program, StepRunner, steps_on_cuda
from models.decoding.proving.group_probe import GroupVerdict, prove_groups
from models.decoding.proving.measuring import measure as measure_packed
from models.decoding.sampling.beams import ReferenceBeams
from models.decoding.sampling.interface import Sampler
from models.decoding.scheduling.group import MOST_BEAMS
from models.decoding.scheduling.group_layout import GroupShape, group_shape
from models.decoding.scheduling.pages import PAGE_TOKENS, num_pages_for
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.host_pages import HostPages
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.paired_pages import HostPairedPages, PairedPages
from models.errors import NotSuited
from models.loading.registry import Family, LoadedModel
from models.proving.reference import Reference
from models.proving.verdicts import remembered

#: What may pass at loading with graphs; the shapes that are left are captured when they are needed.
_CAPTURE_SECONDS, _READING_SECONDS = 5.0, 2.0
#: Chunks of prompts that a captured pass over sources is as large as: what may enter in one step.
_PASSES = 2


def grouped_core(
    loaded: LoadedModel, reference: Reference, limits: Limits | None = None
) -> tuple[GroupCore | None, GroupVerdict]:
    """The core for beams and for encoder-decoders, and up to which length it serves.

    On CUDA by Triton's kernels under graphs; elsewhere by plain torch, which is right and slow, for tests.

    Args:
        loaded: the model.
        reference: how it decodes by itself.
        limits: of the device, if not the usual ones; the memory bounds the pages further.

    Returns:
        None where the model does not come out right; the verdict says why.
    """
    most = limits or group_limits_for(loaded)
    by: Kernels = "reference" if loaded.device.is_cpu else "triton"
    most_source = 0 if loaded.family is Family.CAUSAL else most.max_entries
    build = partial(_built, loaded, most, by, most_source)
    make_core = partial(_eager_core, loaded)
    kept = remembered(
        loaded,
        "group-decoding",
        lambda: asdict(prove_groups(loaded, reference, build, make_core, most)),
    )
    verdict = GroupVerdict(**kept)
    if not verdict.proven_tokens:
        return None, verdict
    program = build(Layout(verdict.layout))
    if not verdict.is_fused:
        program.forward.leave_plain()
    limits = replace(
        most,
        num_pages=affordable_pages(loaded, program.pages, most, for_groups=True),
        max_entries=min(most.max_entries, verdict.proven_tokens),
    )
    is_cpu = loaded.device.is_cpu
    is_eager = is_cpu or verdict.is_eager
    steps: StepRunner = EagerSteps(program, is_ahead=not is_cpu)
    if not is_eager:
        steps = steps_on_cuda(program, _popular(loaded, limits), within_seconds=_CAPTURE_SECONDS)
    return group_core(loaded, program, steps, limits), verdict


def cpu_group_core(loaded: LoadedModel, layout: Layout, limits: Limits | None = None) -> GroupCore:
    """The core on a CPU, for a model for which groups are proven (`proving/group_trial`)."""
    limits = limits or group_limits_for(loaded)
    most_source = 0 if loaded.family is Family.CAUSAL else limits.max_entries
    program = build_group_program(loaded, limits, by="cpu", layout=layout, most_source=most_source)
    limits = replace(limits, num_pages=affordable_pages(loaded, program.pages, limits, for_groups=True))
    return group_core(loaded, program, EagerSteps(program), limits)


def _popular(loaded: LoadedModel, limits: Limits) -> list[GroupShape]:
    """Shapes of the model's own number of beams, without prompts: the usual ones of encoder-decoders."""
    config: Any = loaded.model.generation_config
    width = min(MOST_BEAMS, int(config.num_beams or 1))
    if loaded.family is Family.CAUSAL and width == 1:
        return []
    longest = min(limits.max_entries, int(config.max_length or limits.max_entries))
    sizes = range(limits.max_rows // width, 0, -8)
    return list(
        dict.fromkeys(
            group_shape(
                count * width, 0, limits.max_rows, longest=longest, width=width, num_candidates=2 * width
            )
            for count in [*sizes, 4, 2, 1]
        )
    )


def _built(loaded: LoadedModel, limits: Limits, by: Kernels, most_source: int, layout: Layout) -> Program:
    return build_group_program(loaded, limits, by=by, layout=layout, most_source=most_source)


def _eager_core(loaded: LoadedModel, program: Program, limits: Limits) -> GroupCore:
    return group_core(loaded, program, EagerSteps(program), limits)


def group_core(loaded: LoadedModel, program: Program, runner: StepRunner, limits: Limits) -> GroupCore:
    """The core of a program that `build_group_program` has built."""
    parameters = BeamParametersMaker(loaded, program.state.vocabulary)
    return GroupCore(program, runner, limits, parameters, _encoding(loaded, program, runner, limits))


def _encoding(loaded: LoadedModel, program: Program, runner: StepRunner, limits: Limits) -> Encoding | None:
    if not isinstance(program, EncoderDecoderProgram):
        return None
    reading = Reading(program.forward, program.attention, program.pages.source)
    readings: Readings = EagerReadings(reading)
    max_tokens = limits.chunk_sizes[-1]
    if runner.is_captured:
        max_tokens *= _PASSES
        readings = captured = CapturedReadings(
            reading, most_tokens=program.state.most_source_pages * PAGE_TOKENS
        )
        captured.capture_ahead(max_tokens, within_seconds=_READING_SECONDS)
    config: Any = loaded.config.get_text_config(decoder=True)
    pad_id = int(getattr(config, "pad_token_id", None) or 0)
    return Encoding(readings, max_tokens=max_tokens, pad_id=pad_id)


def build_group_program(
    loaded: LoadedModel, limits: Limits, *, by: Kernels, layout: Layout = Layout.ROWS, most_source: int = 0
) -> Program:
    """The step of a model, for groups of rows.

    Args:
        loaded: the model.
        limits: of the device.
        by: whose kernels compute attention and choose beams.
        layout: of an encoder-decoder's tokens.
        most_source: tokens that its encoder reads at most.

    Raises:
        NotSuited: the model is of a kind that is not served here; the message says why.
    """
    if loaded.family is Family.CAUSAL:
        return _decoder_only(loaded, limits, by)
    forward = EncoderDecoderForward(loaded, layout, fusion_of(loaded, by))
    measures = measure(forward)
    if by == "triton":
        take_head_apart(forward)
    state = _state(loaded, limits, measures.vocabulary, most_source)
    kind = HostPairedPages if by == "cpu" else PairedPages
    pages = kind(measures.own, measures.sources, stored_dtype(measures.dtype, by), state.device)
    attention, chooser = _kernels(state, measures.num_heads, measures.head_size, by)
    return EncoderDecoderProgram(forward, attention, chooser, state, pages)


def _decoder_only(loaded: LoadedModel, limits: Limits, by: Kernels) -> Program:
    forward = WholeForward(loaded) if by == "cpu" else PackedForward(loaded, fusion_of(loaded, by))
    measures = measure_packed(loaded, forward)
    if by != "cpu" and not measures.is_plain:
        raise NotSuited("attention with soft caps, sinks or values of another size than keys")
    state = _state(loaded, limits, measures.vocabulary, 0)
    kind = HostPages if by == "cpu" else KVPages
    pages = kind(measures.layers, stored_dtype(measures.dtype, by), state.device)
    attention, chooser = _kernels(state, measures.num_heads, measures.head_size, by)
    return Program(forward, attention, chooser, state, pages)


def _kernels(state: GroupState, num_heads: int, head_size: int, by: Kernels) -> tuple[SourceBackend, Sampler]:
    # What compiles is imported where it is used.
    if by == "cpu":
        from models.decoding.attention.ancestry_cpu import AncestralCpu
        from models.decoding.sampling.beams_cpu import CpuBeams

        return AncestralCpu(), CpuBeams()
    if by == "reference":
        return AncestralAttention(), ReferenceBeams()
    from models.decoding.attention.ancestry_cuda import AncestralTriton
    from models.decoding.sampling.beams_cuda import TritonBeams

    return AncestralTriton(state, num_heads=num_heads, head_size=head_size), TritonBeams(state)


def _state(loaded: LoadedModel, limits: Limits, vocabulary: int, most_source: int) -> GroupState:
    return GroupState(
        num_seats=limits.max_rows,
        most_pages=num_pages_for(limits.max_entries),
        most_source_pages=num_pages_for(most_source),
        max_chunk=limits.chunk_sizes[-1],
        vocabulary=vocabulary,
        device=loaded.device.torch,
        is_exact=limits.is_exact,
    )
