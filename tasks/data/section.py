"""What data to prepare: the section of the configuration."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

SAMPLE = "sample"
TUTORIAL = "HuggingFaceH4/ultrachat_200k"

# As regular expressions of JSON schema, so that the form refuses what the section would.
_AMOUNT = r"^ *((?!0+(\.0+)? *%)(100(\.0+)?|\d{1,2}(\.\d+)?) *%|[1-9]\d*) *$"

Column = Literal["messages", "prompt", "prompt_id", "completion", "input", "system", "history"]
Role = Literal["system", "user", "assistant"]


class Shape(StrEnum):
    """How a row holds its conversation."""

    MESSAGES = "messages"  # a list of role and content
    SHAREGPT = "sharegpt"  # a list of from and value
    TURNS = "turns"  # a list of texts, the user's and the assistant's in turn, or of pairs of them
    INSTRUCTION = "instruction"  # instruction, input, output
    PROMPT = "prompt"  # prompt and completion, or response
    QUESTION = "question"  # question and answer


class Check(StrEnum):
    """What follows where a check objects to a row."""

    REJECT = "reject"
    WARN = "warn"
    OFF = "off"


def _amount(value: object) -> str:
    text = str(value).strip().replace(" ", "")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%|(\d+)", text)
    if not match:
        raise ValueError(f"{text!r} is neither a share such as 5% nor a number of rows")
    if match[1] and not 0 < float(match[1]) <= 100:
        raise ValueError(f"{text} is out of range: a share is above 0% and at most 100%")
    if match[2] and int(match[2]) < 1:
        raise ValueError("at least one row must be taken")
    return text


Amount = Annotated[str, BeforeValidator(_amount)]


def count(amount: str, total: int) -> int:
    """How many rows of `total` an amount is; a share takes at least one."""
    if not amount.endswith("%"):
        return min(int(amount), total)
    return min(total, max(1, round(total * float(amount[:-1]) / 100)))


class Split(BaseModel):
    """One split of the source and how much of it to take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(
        None,
        min_length=1,
        description="What the source calls the split, or a file, a folder or a pattern of files in it. Found "
        "by itself if empty; what the source does not have is cut from the training split.",
    )
    take: Amount = Field(
        "100%",
        description="A share such as 5%, or a number of rows.",
        json_schema_extra={"pattern": _AMOUNT},
    )

    def count(self, total: int) -> int:
        """How many rows of `total` that is; a share takes at least one."""
        return count(self.take, total)


class Cut(BaseModel):
    """How much is cut from the training split for splits that the source does not have, drawn by the seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Azure's component divides a single file so: 80 % to train on, 10 % each to validate and to test.
    validation: Amount = Field(
        "10%", description="A share or a number of rows.", json_schema_extra={"pattern": _AMOUNT}
    )
    test: Amount = Field(
        "10%", description="A share or a number of rows.", json_schema_extra={"pattern": _AMOUNT}
    )


class Checks(BaseModel):
    """What to do with rows that are good by themselves, but stand there already."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duplicates: Check = Field(
        Check.REJECT, description="The same conversation, with its system message, twice in a split."
    )
    leaks: Check = Field(Check.REJECT, description="A conversation of an earlier split, to be tested on.")


class Data(BaseModel):
    """Where the conversations come from, which of them to take, and how bad they may be."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Data")

    dataset: str = Field(
        TUTORIAL,
        min_length=1,
        title="Dataset",
        description="A dataset of the Hugging Face hub, a path or address of parquet, Arrow, JSON, JSON "
        "Lines, CSV or TSV files, compressed or not (a file, a folder, a pattern), or `sample` for the "
        "conversations that come along.",
    )
    revision: str | None = Field(None, description="Branch, tag or commit of the hub's dataset.")
    subset: str | None = Field(None, description="Configuration of the dataset, where it has several.")
    format: Shape | None = Field(
        None, title="Row format", description="How a row holds its conversation; recognised if empty."
    )
    train: Split = Field(Split(name="train_sft", take="5%"), title="Training split")
    validation: Split = Field(Split(), title="Validation split")
    test: Split = Field(Split(name="test_sft", take="5%"), title="Test split")
    cut: Cut = Field(Cut(), title="Cut splits")
    rows: Literal["first", "seeded"] = Field(
        "first", title="Which rows", description="The first of a split, or a sample drawn by the seed."
    )
    seed: int = Field(42, description="Draws samples, and the splits that are cut.")
    columns: dict[Column, str] = Field(
        default_factory=dict, description="What the source calls these columns, where it differs."
    )
    roles: dict[str, Role] = Field(
        default_factory=dict,
        description="Who other names of roles are, such as Agent: assistant. Usual ones are known.",
    )
    checks: Checks = Field(Checks(), title="Checks")
    quarantine_limit: float = Field(
        1.0, ge=0, le=100, description="Per cent of a split's rows that may be rejected before the run fails."
    )
    max_tokens: int | None = Field(
        None, ge=1, description="Longer conversations are rejected; the base model's window if empty."
    )
    tokenizer: str | None = Field(
        None,
        description="Counts the tokens: a folder with a tokenizer.json, such a file, or a hub model; the "
        "base model's own if empty. Without one, tokens are estimated from the length of the text.",
    )
    directory: Path | None = Field(
        None, description="Where prepared data is kept; the user's cache if empty."
    )

    @model_validator(mode="before")
    @classmethod
    def _whole_unless_the_tutorial(cls, given: Any) -> Any:
        """The splits by default are the tutorial's and belong to its dataset; of another one all is taken."""
        if not isinstance(given, dict) or given.get("dataset", TUTORIAL) == TUTORIAL:
            return given
        return {"train": {}, "test": {}, **given}

    def column(self, ours: Column) -> str:
        """What the source calls one of our columns."""
        return self.columns.get(ours, ours)
