"""Puts the parts together for a model on its device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

import torch

from models.decoding.attention.interface import AttentionBackend
from models.decoding.attention.reference import ReferenceAttention
from models.decoding.core import PagedCore
from models.decoding.limits import affordable_pages, limits_for
from models.decoding.parameters.columns import SamplingMaker
from models.decoding.passes.forward import Forward, PackedForward, WholeForward
from models.decoding.passes.steps import EagerSteps, Program, StepRunner, steps_on_cuda
from models.decoding.proving.measuring import Measures, measure
from models.decoding.proving.probe import Verdict, prove
from models.decoding.sampling.interface import Sampler
from models.decoding.sampling.reference import ReferenceSampler
from models.decoding.sampling.stream import is_torchs
from models.decoding.scheduling.layout import popular_shapes
from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.host_pages import HostPages
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState
from models.errors import NotSuited
from models.loading.registry import LoadedModel
from models.proving.reference import Reference
from models.proving.verdicts import remembered

if TYPE_CHECKING:
    from models.decoding.fused.fusion import Fusion

#: Whose kernels compute attention and choose tokens.
Kernels = Literal["triton", "cpu", "reference"]
Proof = Callable[[LoadedModel, Reference, Program, Limits], Verdict]

#: What may pass at loading with graphs; the shapes that are left are captured when they are needed.
_CAPTURE_SECONDS = 5.0


def paged_core(
    loaded: LoadedModel, reference: Reference, limits: Limits | None = None, *, proof: Proof | None = None
) -> tuple[PagedCore | None, Verdict]:
    """The core for a decoder-only model, and up to which length it serves.

    On CUDA by Triton's kernels under graphs; on a CPU by kernels that numba compiles, operator by operator.

    Args:
        loaded: the model.
        reference: how it decodes by itself.
        limits: of the device, if not the usual ones; the memory bounds the pages further.
        proof: tries the model, if it is not the usual way, which remembers what it found out.

    Returns:
        None where the model is of another kind, or does not come out right; the verdict says why.
    """
    limits = limits or limits_for(loaded)
    is_cpu = loaded.device.is_cpu
    try:
        program = build_program(loaded, limits, by="cpu" if is_cpu else "triton")
    except NotSuited as error:
        return None, Verdict(0, f"not served: {error}")
    limits = replace(limits, num_pages=affordable_pages(loaded, program.pages, limits, for_groups=False))
    verdict = (proof or _remembered_proof)(loaded, reference, program, limits)
    if not verdict.proven_tokens:
        return None, verdict
    if not verdict.is_fused:
        program.forward.leave_plain()
    limits = replace(limits, max_entries=min(limits.max_entries, verdict.proven_tokens))
    is_eager = is_cpu or verdict.is_eager
    shapes = popular_shapes(limits.max_rows, limits.chunk_sizes, limits.max_entries)
    steps: StepRunner = EagerSteps(program, is_ahead=not is_cpu)
    if not is_eager:
        steps = steps_on_cuda(program, shapes, within_seconds=_CAPTURE_SECONDS)
    return PagedCore(program, steps, limits, SamplingMaker(loaded, draws=not is_cpu or is_torchs())), verdict


def cpu_core(loaded: LoadedModel, limits: Limits | None = None) -> PagedCore:
    """The core for a decoder-only model on a CPU, for which pages are proven (`proving/trial`)."""
    limits = limits or limits_for(loaded)
    program = build_program(loaded, limits, by="cpu")
    limits = replace(limits, num_pages=affordable_pages(loaded, program.pages, limits, for_groups=False))
    return PagedCore(program, EagerSteps(program), limits, SamplingMaker(loaded, draws=is_torchs()))


def _remembered_proof(loaded: LoadedModel, reference: Reference, program: Program, limits: Limits) -> Verdict:
    kept = remembered(loaded, "paged-decoding", lambda: asdict(prove(loaded, reference, program, limits)))
    return Verdict(**kept)


def build_program(loaded: LoadedModel, limits: Limits, *, by: Kernels) -> Program:
    """The step of a model.

    Args:
        loaded: the model.
        limits: of the steps.
        by: whose kernels compute attention and choose tokens.

    Raises:
        NotSuited: the model is of a kind that is not served here; the message says why.
    """
    forward = _forward(loaded, by)
    measures = measure(loaded, forward)
    state = BatchState(
        num_seats=limits.max_rows,
        most_pages=num_pages_for(limits.max_entries),
        max_chunk=limits.chunk_sizes[-1],
        max_begun=limits.max_begun,
        vocabulary=measures.vocabulary,
        device=loaded.device.torch,
        is_exact=limits.is_exact,
    )
    dtype = stored_dtype(measures.dtype, by)
    pages = (HostPages if by == "cpu" else KVPages)(measures.layers, dtype, state.device)
    return Program(forward, *_kernels(state, measures, by), state, pages)


def stored_dtype(computed: torch.dtype, by: Kernels) -> torch.dtype:
    """Of keys and values in pages: a CPU computes half precision in float32."""
    return torch.float32 if by == "cpu" and computed == torch.float16 else computed


def _forward(loaded: LoadedModel, by: Kernels) -> Forward:
    return WholeForward(loaded) if by == "cpu" else PackedForward(loaded, fusion_of(loaded, by))


def fusion_of(loaded: LoadedModel, by: Kernels) -> Fusion | None:
    """Fused kernels for the modules of a model, where kernels are Triton's."""
    if by != "triton":
        return None
    from models.decoding.fused.fusion import Fusion  # Triton is where CUDA's torch is, and only there

    return Fusion(loaded.model)


def _kernels(state: BatchState, measures: Measures, by: Kernels) -> tuple[AttentionBackend, Sampler]:
    # What compiles is imported where it is used.
    if by == "cpu":
        from models.decoding.attention.cpu import CpuAttention
        from models.decoding.sampling.cpu import CpuSampler

        return CpuAttention(), CpuSampler(state)
    if by == "reference":
        return ReferenceAttention(), ReferenceSampler()
    if not measures.is_plain:
        raise NotSuited("attention with soft caps, sinks or values of another size than keys")
    from models.decoding.attention.cuda import TritonAttention
    from models.decoding.sampling.cuda import TritonSampler

    attention = TritonAttention(state, num_heads=measures.num_heads, head_size=measures.head_size)
    return attention, TritonSampler(state)
