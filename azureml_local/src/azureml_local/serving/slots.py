"""A key-value cache whose rows are requests that come and go while the others keep generating."""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 256  # positions added at a time: memory follows the longest conversation, copies stay rare


class SlotCache(Cache):  # type: ignore[misc]
    """Keys and values of up to ``rows`` sequences, each with its own length.

    Busy rows are always the first ones. A prompt is written whole into the next free row; a decoding step
    appends one position to every busy row. Nothing is concatenated or shifted, as it would be in a
    left-padded batch.
    """

    def __init__(self, layers: int, rows: int) -> None:
        self.rows = rows
        self.lengths = torch.zeros(rows, dtype=torch.long)
        self.busy = 0
        self.width = 0  # positions the longest busy row holds
        self.prefilling = False
        super().__init__(layers=[_SlotLayer(self) for _ in range(layers)])

    def start_row(self, length: int) -> int:
        """Reserve the next free row for a prompt of ``length`` tokens; the next forward pass fills it."""
        if self.busy == self.rows:
            raise RuntimeError("every row is busy")
        row = self.busy
        self.busy += 1
        self.lengths[row] = length
        self.width = max(self.width, length)
        self.prefilling = True
        return row

    def start_step(self) -> torch.Tensor:
        """Make room for one more token a busy row and return their positions, shape (busy,)."""
        positions = self.lengths[: self.busy].clone()
        self.lengths[: self.busy] += 1
        self.width += 1
        self.prefilling = False
        return positions

    def release(self, row: int) -> None:
        """Free ``row``; the last busy row moves into its place."""
        last = self.busy - 1
        if row != last:
            used = int(self.lengths[last])
            for layer in self.layers:
                layer.keys[row, :, :used] = layer.keys[last, :, :used]
                layer.values[row, :, :used] = layer.values[last, :, :used]
            self.lengths[row] = self.lengths[last]
        self.busy = last
        self.width = int(self.lengths[:last].max()) if last else 0

    def clear(self) -> None:
        """Free every row."""
        self.busy = 0
        self.width = 0


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's buffers, shape (rows, key-value heads, capacity, head size)."""

    def __init__(self, slots: SlotCache) -> None:
        super().__init__()
        self.slots = slots

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows = self.slots.rows
        self.keys = key_states.new_zeros(rows, key_states.shape[1], 0, key_states.shape[3])
        self.values = value_states.new_zeros(rows, value_states.shape[1], 0, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        slots = self.slots
        self._reserve(slots.width)
        if slots.prefilling:
            row, length = slots.busy - 1, key_states.shape[2]
            self.keys[row, :, :length] = key_states[0]
            self.values[row, :, :length] = value_states[0]
            return key_states, value_states
        busy, width = slots.busy, slots.width
        rows, last = torch.arange(busy), slots.lengths[:busy] - 1
        self.keys[rows, :, last] = key_states[:, :, 0]
        self.values[rows, :, last] = value_states[:, :, 0]
        return self.keys[:busy, :, :width], self.values[:busy, :, :width]

    def _reserve(self, width: int) -> None:
        missing = width - self.keys.shape[2]
        if missing <= 0:
            return
        extra = -(-missing // GROWTH) * GROWTH
        self.keys = torch.nn.functional.pad(self.keys, (0, 0, 0, extra))
        self.values = torch.nn.functional.pad(self.values, (0, 0, 0, extra))

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.slots.width, 0

    def get_seq_length(self) -> int:
        return 0 if self.slots.prefilling else self.slots.width - 1

    def get_max_length(self) -> int:
        return -1
