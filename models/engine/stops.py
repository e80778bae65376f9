"""Where sequences end in a stop string, as transformers sees it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import StopStringCriteria


def end_in_stop(stop: StopStringCriteria, sequences: Sequence[Sequence[int]]) -> list[bool]:
    """Which sequences end in a stop string; it looks at the last tokens alone."""
    num_last = stop.maximum_token_len
    no_token = stop.embedding_vec.shape[0]  # beyond the vocabulary: matches nothing
    last = [[no_token] * (num_last - len(ids)) + list(ids[-num_last:]) for ids in sequences]
    return list(stop(torch.tensor(last, device=stop.embedding_vec.device), None).tolist())
