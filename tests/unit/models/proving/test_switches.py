"""Where a configuration says that a model begins to compute otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from models.proving.switches import find_switches


@pytest.mark.parametrize(
    ("config", "lengths"),
    [
        ({"hidden_size": 32, "max_position_embeddings": 512, "vocab_size": 400}, []),
        ({"sliding_window": 4096, "max_window_layers": 28}, [4096]),
        ({"sliding_window": None, "use_sliding_window": False}, []),
        ({"text_config": {"attention_chunk_size": 8192}, "vision_config": {"window_size": 7}}, [8192]),
        ({"attention_window": [256, 512, 256]}, [256, 512]),
        ({"block_size": 64, "num_random_blocks": 3}, [704]),
        ({"index_topk": 2048, "index_topk_freq": 4}, [2048]),
        ({"local_attention": 128}, [128]),
        ({"local_transformer_stride": 128}, [128]),
        ({"position_buckets": 256, "max_relative_positions": -1}, [256]),
        ({"clamp_len": 400, "mem_len": 384}, [400]),
        ({"block_sizes": [4, 4, 4]}, []),
        ({"chunk_size_feed_forward": 64}, []),
        ({"rope_parameters": {"rope_type": "llama3", "original_max_position_embeddings": 8192}}, []),
    ],
)
def test_windows_chunks_and_blocks_are_found_by_their_names(
    config: dict[str, Any], lengths: list[int]
) -> None:
    found = find_switches(config)
    assert [switch.length for switch in found] == lengths
    assert not any(switch.is_shared for switch in found)


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 4096}}, 4096),
        ({"max_position_embeddings": 2048, "rope_scaling": {"type": "dynamic", "factor": 2.0}}, 2048),
        (
            {
                "max_position_embeddings": 900,
                "rope_parameters": {
                    "full_attention": {"rope_type": "dynamic"},
                    "sliding_attention": {"rope_type": "default"},
                },
            },
            900,
        ),
    ],
)
def test_ropes_that_look_at_the_longest_row_are_shared(config: dict[str, Any], length: int) -> None:
    (switch,) = find_switches(config)
    assert (switch.length, switch.is_shared) == (length, True)
