"""How the tokens of a step are laid out for a model.

Some architectures count the positions of one long sequence right, some only those of many short
ones; which suits a model is tried when it is loaded.
"""

from __future__ import annotations

from enum import Enum


class Layout(Enum):
    """How the tokens of a step are laid out."""

    PACKED = "packed"  #: (1, tokens)
    ROWS = "rows"  #: (tokens, 1)
