"""Two pools of pages: of the decoder's own keys, and of the keys of what encoders read."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.decoding.tensors.host_pages import HostPages
from models.decoding.tensors.kv_pages import KVPages, LayerSize


class PairedPages(KVPages):
    """Allocated together and given back together; a document's beams share the pages of its source."""

    def __init__(
        self,
        layers: Sequence[LayerSize],
        source_layers: Sequence[LayerSize],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__(layers, dtype, device)
        self.source = self._pool(source_layers, dtype, device)

    def _pool(self, layers: Sequence[LayerSize], dtype: torch.dtype, device: torch.device) -> KVPages:
        """Of what encoders read."""
        return KVPages(layers, dtype, device)

    @property
    def page_bytes(self) -> int:
        """Bytes of a page of each, in all layers."""
        return super().page_bytes + self.source.page_bytes

    @property
    def num_bytes(self) -> int:
        """Bytes that are allocated."""
        return super().num_bytes + self.source.num_bytes

    def allocate(self, num_pages: int) -> None:
        """Makes so many pages of each.

        Raises:
            torch.OutOfMemoryError: they do not fit; nothing stays allocated.
        """
        self.source.allocate(num_pages)
        try:
            super().allocate(num_pages)
        except Exception:
            self.source.release()
            raise

    def release(self) -> None:
        """Gives all of them back."""
        super().release()
        self.source.release()


class HostPairedPages(PairedPages, HostPages):
    """As `PairedPages`, in a CPU's memory."""

    def _pool(self, layers: Sequence[LayerSize], dtype: torch.dtype, device: torch.device) -> KVPages:
        return HostPages(layers, dtype, device)
