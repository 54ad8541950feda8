"""Batches of conversations, laid end to end so that no token is padding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from azureml_local.components.tokenized import Tokenized

PACK_TOKENS = 1024
"""What is computed at once: more is no faster and takes memory. A longer conversation is a pack alone."""


@dataclass(frozen=True)
class Pack:
    """Conversations end to end: tokens and learn (tokens,), spans their (start, end)."""

    tokens: torch.Tensor
    learn: torch.Tensor
    spans: tuple[tuple[int, int], ...]

    @property
    def learnt(self) -> int:
        """Tokens that add to the loss."""
        starts = [start for start, _ in self.spans]
        return int(self.learn.sum()) - int(self.learn[starts].sum())


def steps_per_epoch(conversations: int, batch: int) -> int:
    """Optimiser steps of an epoch; the last one may see fewer conversations than `batch`."""
    return math.ceil(conversations / batch)


def order(conversations: int, epoch: int, seed: int) -> list[int]:
    """In what order an epoch sees the conversations."""
    generator = torch.Generator().manual_seed(seed + 1_000_003 * epoch)
    return [int(place) for place in torch.randperm(conversations, generator=generator)]


def packs(data: Tokenized, places: Sequence[int], most: int = PACK_TOKENS) -> Iterator[Pack]:
    """The conversations at `places` in as few packs of at most `most` tokens as first-fit finds."""
    lengths = data.lengths()
    rooms: list[tuple[int, list[int]]] = []
    for place in sorted(places, key=lambda place: -lengths[place]):
        length = int(lengths[place])
        for at, (room, members) in enumerate(rooms):
            if length <= room:
                rooms[at] = (room - length, [*members, place])
                break
        else:
            rooms.append((most - length, [place]))
    for _, members in rooms:
        yield pack(data, members)


def pack(data: Tokenized, places: Sequence[int]) -> Pack:
    """The conversations at `places` in one pack."""
    pieces = [slice(int(data.offsets[place]), int(data.offsets[place + 1])) for place in places]
    ends = np.cumsum([piece.stop - piece.start for piece in pieces])
    starts = np.concatenate([[0], ends[:-1]])
    return Pack(
        torch.from_numpy(np.concatenate([data.tokens[piece] for piece in pieces]).astype(np.int64)),
        torch.from_numpy(np.concatenate([data.learn[piece] for piece in pieces])),
        tuple((int(start), int(end)) for start, end in zip(starts, ends, strict=True)),
    )
