"""Puts the parts together for a model on its device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from models.decoding.attention.interface import AttentionBackend
from models.decoding.attention.reference import ReferenceAttention
from models.decoding.core import PagedCore
from models.decoding.forward import PackedForward, measure
from models.decoding.kv_pages import KVPages
from models.decoding.layout import popular_shapes
from models.decoding.pages import num_pages_for
from models.decoding.parameters import SamplingMaker
from models.decoding.probe import Verdict, prove
from models.decoding.sampling.interface import Sampler
from models.decoding.sampling.reference import ReferenceSampler
from models.decoding.scheduler import Limits
from models.decoding.state import BatchState
from models.decoding.steps import CapturedSteps, EagerSteps, Program
from models.engine.reference import Reference
from models.errors import NotSuited
from models.registry import LoadedModel
from models.verdicts import remembered

if TYPE_CHECKING:
    from models.decoding.fused.fusion import Fusion

#: Share of the device's memory that keys and values may take.
_CACHE_SHARE = 0.2
#: An eighth of them is kept for urgent requests: 504 rows on an ordinary day.
_MAX_ROWS = 576
#: Keys that a row may have at most; longer documents decode by the first engine.
_MOST_ENTRIES = 8192
_CHUNK_SIZES = (256, 512, 1024, 2048)
#: What may pass at loading with graphs; the shapes that are left are captured when they are needed.
_CAPTURE_SECONDS = 5.0


Proof = Callable[[LoadedModel, Reference, Program, Limits], Verdict]


def paged_core(
    loaded: LoadedModel, reference: Reference, limits: Limits | None = None, *, proof: Proof | None = None
) -> tuple[PagedCore | None, Verdict]:
    """The core for a decoder-only model, and up to which length it serves.

    On CUDA by Triton's kernels under graphs; elsewhere by plain torch, which is right and slow.

    Args:
        loaded: the model.
        reference: how it decodes by itself.
        limits: of the device, if not the usual ones; the memory bounds the pages further.
        proof: tries the model, if it is not the usual way, which remembers what it found out.

    Returns:
        None where the model is of another kind, or does not come out right; the verdict says why.
    """
    limits = limits or limits_for(loaded)
    is_cuda = not loaded.device.is_cpu
    try:
        program = build_program(loaded, limits, by_triton=is_cuda)
    except NotSuited as error:
        return None, Verdict(0, f"not served: {error}")
    limits = replace(limits, num_pages=_num_pages(loaded, program.pages, limits))
    verdict = (proof or _remembered_proof)(loaded, reference, program, limits)
    if not verdict.proven_tokens:
        return None, verdict
    if not verdict.is_fused:
        program.forward.leave_plain()
    limits = replace(limits, max_entries=min(limits.max_entries, verdict.proven_tokens))
    steps = CapturedSteps(program) if is_cuda else EagerSteps(program)
    shapes = popular_shapes(limits.max_rows, limits.chunk_sizes, limits.max_entries)
    steps.capture_ahead(shapes, within_seconds=_CAPTURE_SECONDS)
    return PagedCore(program, steps, limits, SamplingMaker(loaded)), verdict


def _remembered_proof(loaded: LoadedModel, reference: Reference, program: Program, limits: Limits) -> Verdict:
    kept = remembered(loaded, "paged-decoding", lambda: asdict(prove(loaded, reference, program, limits)))
    return Verdict(**kept)


def limits_for(loaded: LoadedModel) -> Limits:
    """The limits of a model on a CUDA device; `num_pages` as the memory bounds it."""
    config: Any = loaded.config.get_text_config(decoder=True)
    most = int(getattr(config, "max_position_embeddings", None) or _MOST_ENTRIES)
    max_entries = min(most, _MOST_ENTRIES)
    return Limits(
        max_rows=_MAX_ROWS,
        num_pages=_MAX_ROWS * num_pages_for(max_entries) + 1,
        max_entries=max_entries,
        chunk_sizes=_CHUNK_SIZES,
    )


def _num_pages(loaded: LoadedModel, pages: KVPages, limits: Limits) -> int:
    """As many as are wanted, within the share of the memory."""
    affordable = int(loaded.device.memory_bytes * _CACHE_SHARE) // pages.page_bytes
    return max(2, min(limits.num_pages, affordable))


# Triton is there where CUDA's torch is, and only there: what needs it is imported where it is used.


def _fusion(loaded: LoadedModel) -> Fusion:
    from models.decoding.fused.fusion import Fusion

    return Fusion(loaded.model)


def build_program(loaded: LoadedModel, limits: Limits, *, by_triton: bool) -> Program:
    """The step of a model.

    Raises:
        NotSuited: the model is of a kind that is not served here; the message says why.
    """
    forward = PackedForward(loaded, _fusion(loaded) if by_triton else None)
    state = BatchState(
        num_seats=limits.max_rows,
        most_pages=num_pages_for(limits.max_entries),
        max_chunk=limits.chunk_sizes[-1],
        max_begun=limits.max_begun,
        vocabulary=forward.vocabulary,
        device=loaded.device.torch,
    )
    layers, num_heads = measure(forward, state)
    pages = KVPages(layers, forward.dtype, state.device)
    attention: AttentionBackend = ReferenceAttention()
    sampler: Sampler = ReferenceSampler()
    if by_triton:
        from models.decoding.attention.cuda import TritonAttention
        from models.decoding.sampling.cuda import TritonSampler

        head_size = max(layer.head_size for layer in layers)
        attention = TritonAttention(state, num_heads=num_heads, head_size=head_size)
        sampler = TritonSampler(state)
    return Program(forward, attention, sampler, state, pages)
