"""What data to prepare: the section of the configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

SAMPLE = "sample"


class Split(BaseModel):
    """One split of the source and how much of it to take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="What the source calls the split, or the file's own path.")
    take: str = Field(
        "5%",
        description="A share such as 5%, or a number of rows.",
        json_schema_extra={"pattern": r"^ *(\d+(\.\d+)? *%|[1-9]\d*) *$"},
    )

    @field_validator("take", mode="before")
    @classmethod
    def _taken(cls, value: object) -> str:
        text = str(value).strip().replace(" ", "")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)%|(\d+)", text)
        if not match:
            raise ValueError(f"{text!r} is neither a share such as 5% nor a number of rows")
        if match[1] and not 0 < float(match[1]) <= 100:
            raise ValueError(f"{text} is out of range: a share is above 0% and at most 100%")
        if match[2] and int(match[2]) < 1:
            raise ValueError("at least one row must be taken")
        return text

    def count(self, total: int) -> int:
        """How many rows of `total` that is; a share takes at least one."""
        if not self.take.endswith("%"):
            return min(int(self.take), total)
        return min(total, max(1, round(total * float(self.take[:-1]) / 100)))


class Data(BaseModel):
    """Where the conversations come from, which of them to take, and how bad they may be."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Data")

    dataset: str = Field(
        "HuggingFaceH4/ultrachat_200k",
        min_length=1,
        title="Dataset",
        description="A dataset of the Hugging Face hub, a path or address of parquet, JSON Lines, JSON or "
        "CSV files (a file, a folder, a pattern), or `sample` for the conversations that come along.",
    )
    revision: str | None = Field(None, description="Branch, tag or commit of the hub's dataset.")
    subset: str | None = Field(None, description="Configuration of the hub's dataset, where it has several.")
    train: Split = Field(Split(name="train_sft"), title="Training split")
    test: Split = Field(Split(name="test_sft"), title="Test split")
    rows: Literal["first", "seeded"] = Field(
        "first", title="Which rows", description="The first of a split, or a sample drawn by the seed."
    )
    seed: int = Field(42, description="Draws the sample.")
    columns: dict[Literal["messages", "prompt", "prompt_id"], str] = Field(
        default_factory=dict, description="What the source calls these columns, where it differs."
    )
    quarantine_limit: float = Field(
        1.0, ge=0, le=100, description="Per cent of a split's rows that may be bad before the run fails."
    )
    max_tokens: int | None = Field(
        None, ge=1, description="Longer conversations are bad rows; the base model's window if empty."
    )
    tokenizer: str | None = Field(
        None,
        description="Counts the tokens: a folder with a tokenizer.json, such a file, or a hub model; the "
        "base model's own if empty. Without one, tokens are estimated from the length of the text.",
    )
    directory: Path | None = Field(
        None, description="Where prepared data is kept; the user's cache if empty."
    )

    def column(self, ours: Literal["messages", "prompt", "prompt_id"]) -> str:
        """What the source calls one of our columns."""
        return self.columns.get(ours, ours)
