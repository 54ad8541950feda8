"""A key-value cache whose rows are requests that come and go while the others keep generating."""

from __future__ import annotations

import torch

GROWTH = 256  # positions added at a time: memory follows the longest conversation, copies stay rare

Pair = tuple[torch.Tensor, torch.Tensor]


class SlotCache:
    """Keys and values of up to ``rows`` sequences, each with its own length.

    Busy rows are always the first ones. A prompt is written whole into the next free row; a decoding step
    appends one position to every busy row. Nothing is concatenated or shifted, as it would be in a
    left-padded batch. With a `window` a token attends to that many, itself among them.
    """

    def __init__(self, layers: int, rows: int, window: int | None = None) -> None:
        self.rows = rows
        self.busy = 0
        self.width = 0  # positions the longest busy row holds
        self.prefilling = False
        self._lengths = torch.zeros(rows, dtype=torch.long)
        self._window = window
        # A layer's buffers have the shape (rows, key heads, capacity, head size).
        self._kept: list[Pair | None] = [None] * layers

    def start_row(self, length: int) -> torch.Tensor:
        """Reserve the next free row for a prompt of ``length`` tokens and return their positions."""
        if self.busy == self.rows:
            raise RuntimeError("every row is busy")
        self._lengths[self.busy] = length
        self.busy += 1
        self.width = max(self.width, length)
        self.prefilling = True
        return torch.arange(length)

    def start_step(self) -> torch.Tensor:
        """Make room for one more token a busy row and return their positions, shape (busy,)."""
        positions = self._lengths[: self.busy].clone()
        self._lengths[: self.busy] += 1
        self.width += 1
        self.prefilling = False
        return positions

    def mask(self, positions: torch.Tensor) -> torch.Tensor:
        """What the tokens at these positions attend to.

        Shape (tokens, tokens) in a prompt, (busy, width) in a step.
        """
        columns = torch.arange(len(positions) if self.prefilling else self.width)
        allowed = columns[None, :] <= positions[:, None]
        if self._window is not None:
            allowed &= columns[None, :] > positions[:, None] - self._window
        return allowed

    def update(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> Pair:
        """Keep what is new and return all that is attended to.

        Shapes: (1, key heads, tokens, head size) of a prompt, (busy, key heads, 1, head size) of a step;
        (busy, key heads, width, head size) is returned of a step, and of a prompt what was given.
        """
        kept = self._reserved(layer, keys)
        busy, width = self.busy, self.width
        if self.prefilling:
            for buffer, new in zip(kept, (keys, values), strict=True):
                buffer[busy - 1, :, : new.shape[2]] = new[0]
            return keys, values
        rows, last = torch.arange(busy), self._lengths[:busy] - 1
        for buffer, new in zip(kept, (keys, values), strict=True):
            buffer[rows, :, last] = new[:, :, 0]
        return kept[0][:busy, :, :width], kept[1][:busy, :, :width]

    def release(self, row: int) -> None:
        """Free ``row``; the last busy row moves into its place."""
        last = self.busy - 1
        if row != last:
            used = int(self._lengths[last])
            for buffer in (each for kept in self._kept if kept is not None for each in kept):
                buffer[row, :, :used] = buffer[last, :, :used]
            self._lengths[row] = self._lengths[last]
        self.busy = last
        self.width = int(self._lengths[:last].max()) if last else 0

    def clear(self) -> None:
        """Free every row."""
        self.busy = 0
        self.width = 0

    def _reserved(self, layer: int, like: torch.Tensor) -> Pair:
        """The layer's buffers, wide enough for what the rows hold now."""
        kept = self._kept[layer]
        if kept is None:
            empty = like.new_zeros(self.rows, like.shape[1], 0, like.shape[3])
            kept = (empty, empty)
        missing = self.width - kept[0].shape[2]
        if missing > 0:
            extra = -(-missing // GROWTH) * GROWTH
            keys, values = (torch.nn.functional.pad(each, (0, 0, 0, extra)) for each in kept)
            kept = (keys, values)
        self._kept[layer] = kept
        return kept
