"""A few hundred real conversations in the chat schema, small enough to ship (see NOTICE.md)."""

from __future__ import annotations

from pathlib import Path

TRAIN = Path(__file__).with_name("train_sft.jsonl")
TEST = Path(__file__).with_name("test_sft.jsonl")
