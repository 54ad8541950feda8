"""The data of a run on one page: what was taken, how long it is, what was wrong, what it looks like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import orjson

from flows.artifacts import plots
from flows.artifacts.markdown import table
from tasks.azure.redaction import redact
from tasks.core.artifacts import create_markdown_artifact
from tasks.core.display import displaying
from tasks.data import PreparedData, PreparedSplit

KEY = "finetune-data"
LENGTHS = "lengths"  # the picture's name in the page
EXAMPLES = 5
_SHOWN = 160  # characters of a text

# What has a meaning in HTML or in Markdown. As entities they mean nothing, in tables neither.
_ENTITIES = str.maketrans({mark: f"&#{ord(mark)};" for mark in "&<>\"'\\`*_[]()!|~#:@"})


def publish(data: PreparedData) -> None:
    """The card with its picture of turns and lengths, among the run's artifacts."""
    with displaying():
        create_markdown_artifact(
            page(data), key=KEY, description="The data", pictures={LENGTHS: plots.data_lengths(data)}
        )


def page(data: PreparedData) -> str:
    """The card as Markdown; whatever comes from the source is text in it, never markup."""
    revision = f" at revision {literal(data.revision)}" if data.revision else ""
    read = "prepared before, nothing read" if data.reused else f"{data.bytes_read / 1e6:,.1f} MB read"
    return "\n\n".join(
        [
            f"# {literal(data.source)}",
            f"The data{revision}; {read}.",
            _table(["", *(split.name for split in data.splits)], _rows(*data.splits)),
            f"![Turns and lengths of the conversations]({LENGTHS})",
            "## What was found",
            *_findings(data.splits),
            *_unused(data),
            *_window(data),
            f"## The first conversations of {literal(data.train.name)}",
            _table(["prompt", "turns", "question", "answer"], list(_examples(data.train))),
        ]
    )


def literal(text: str, length: int = _SHOWN) -> str:
    """Text of unknown origin as one line that shows as it is, shortened to so many characters."""
    line = " ".join(redact(text).split())
    return (line if len(line) <= length else f"{line[: length - 1]}…").translate(_ENTITIES)


def _rows(*splits: PreparedSplit) -> list[list[str]]:
    """What is known of the splits, one beside the other."""
    estimate = "tokens, estimated" if any(split.estimated for split in splits) else "tokens"
    facts: list[tuple[str, list[str]]] = [
        ("taken", [split.taken for split in splits]),
        ("rows", [f"{split.rows:,}" for split in splits]),
        ("format", [split.recognised for split in splits]),
        ("rejected", [f"{split.quarantined:,}" for split in splits]),
        (estimate, [f"{split.lengths.tokens:,}" for split in splits]),
        (f"longest ({estimate})", [f"{split.lengths.longest:,}" for split in splits]),
        ("size", [f"{split.bytes / 1e6:,.2f} MB" for split in splits]),
        ("sha256", [split.sha256[:12] for split in splits]),
    ]
    return [[name, *values] for name, values in facts]


def _findings(splits: Sequence[PreparedSplit]) -> Iterator[str]:
    found = [
        [split.name, reason, f"{count:,}"] for split in splits for reason, count in split.findings.items()
    ]
    if not found:
        yield "Every row passed: roles and order, blank texts, duplicates, leaks between splits, length."
    else:
        yield _table(["split", "rejected because", "rows"], found)
    for split in splits:
        for reason, count in split.warnings.items():
            yield f"Kept in {literal(split.name)}, although {literal(reason)}: {count:,} rows."
    for split in splits:
        if split.quarantine:
            yield f"Rejected rows of {literal(split.name)}: {literal(str(split.quarantine), 500)}"


def _unused(data: PreparedData) -> Iterator[str]:
    """What the source has beside what is trained on."""
    found = [
        f"{literal(what)} of {literal(split.name)}{'' if times is None else f' ({times:,} times)'}"
        for split in data.splits
        for what, times in split.unused.items()
    ]
    found += [f"the split {literal(name)}" for name in data.unused_splits]
    found += [f"the file {literal(name)}" for name in data.unused_files]
    if found:
        yield f"Not used: {'; '.join(found)}."


def _window(data: PreparedData) -> Iterator[str]:
    """How long rows may be, and how it was seen that they are not longer."""
    window, splits = data.window, data.splits
    if window.limit:
        yield f"A row may have {window.limit:,} tokens, by {literal(window.source)}."
    else:
        yield "No row is too long: the model's window is not known, and data.max_tokens sets no limit."
    if window.tokenizer is None:
        yield f"Tokens are an estimate from the length of the text: {literal(window.estimated, 500)}."
    elif any(split.estimated for split in splits):
        counted = " and ".join(f"{split.lengths.counted:,} of {split.rows:,}" for split in splits)
        yield (
            f"The tokenizer counted {counted} rows: the first, and all that could be too long. The tokens of "
            "the others are an estimate from the length of their text."
        )


def _examples(split: PreparedSplit) -> Iterator[list[str]]:
    with split.path.open("rb") as lines:
        for line in islice(lines, EXAMPLES):
            row: dict[str, Any] = orjson.loads(line)
            messages = row["messages"]
            question = next((m["content"] for m in messages if m["role"] == "user"), "")
            yield [row["prompt"], str(len(messages)), question, messages[-1]["content"]]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table([literal(cell) for cell in head], [[literal(cell) for cell in row] for row in rows])
