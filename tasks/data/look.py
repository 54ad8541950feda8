"""A look at data: what would be trained on, without keeping anything of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from tasks.data.chat_template import ChatTemplate
from tasks.data.personal import PersonalData, hidden
from tasks.data.prepare import prepare
from tasks.data.prepared import Lengths, PreparedSplit
from tasks.data.progress_counter import OnProgress, ignored
from tasks.data.row_filter import DUPLICATE, LEAK
from tasks.data.section import Data
from tasks.data.window import Window, tokenizer_file


class Personal(BaseModel):
    """Personal data of a kind; examples are masked."""

    model_config = ConfigDict(frozen=True)

    kind: str
    times: int
    conversations: int
    examples: tuple[str, ...]


class SplitLook(BaseModel):
    """What is known of a split."""

    model_config = ConfigDict(frozen=True)

    name: str
    recognised: str
    taken: str
    rows: int
    rejected: dict[str, int]  # reason -> rows
    warnings: dict[str, int]
    duplicates: int
    leaks: int
    unused: dict[str, int | None]
    roles: dict[str, int]  # role -> messages
    lengths: Lengths
    estimated: bool
    bytes: int
    examples: tuple[str, ...]  # conversations as the model reads them, with personal data masked
    personal: tuple[Personal, ...]


class Look(BaseModel):
    """All splits, training first; `fails` says why a run would not take them."""

    model_config = ConfigDict(frozen=True)

    source: str
    revision: str | None
    splits: tuple[SplitLook, ...]
    unused_splits: tuple[str, ...]
    unused_files: tuple[str, ...]
    window: Window
    template: str
    bytes_read: int
    fails: str | None

    @property
    def training_tokens(self) -> int:
        return self.splits[0].lengths.tokens


def look(data: Data, window: Window, model: str, rows: int, on_progress: OnProgress = ignored) -> Look:
    """Read the data as a run would, and describe it; raises Failure where none of it could be trained on."""
    with TemporaryDirectory(prefix="finetune-look-") as scratch:
        lax = data.model_copy(update={"directory": Path(scratch), "quarantine_limit": 100.0})
        found = prepare(lax, on_progress, window)
        tokenizer = tokenizer_file(found.window.tokenizer) if found.window.tokenizer else None
        template = ChatTemplate(tokenizer.parent if tokenizer else None, model)
        return Look(
            source=found.source,
            revision=found.revision,
            splits=tuple(_looked_at(split, template, rows) for split in found.splits),
            fails=_failing(data, found.splits),
            unused_splits=found.unused_splits,
            unused_files=found.unused_files,
            window=found.window,
            template=template.source,
            bytes_read=found.bytes_read,
        )


def _failing(data: Data, splits: Sequence[PreparedSplit]) -> str | None:
    """Why a run would not take these splits: too many rows of one, or of the file they are cut from."""
    groups: dict[str, list[PreparedSplit]] = {}
    for split in splits:
        groups.setdefault(split.cut_from or split.name, []).append(split)
    for name, group in groups.items():
        rejected = sum(split.quarantined for split in group)
        share = 100 * rejected / (rejected + sum(split.rows for split in group))
        if share > data.quarantine_limit:
            limit = f"data.quarantine_limit={data.quarantine_limit:g}"
            return f"{share:.1f}% of the rows of {name} are rejected, more than {limit}"
    return None


def _looked_at(split: PreparedSplit, template: ChatTemplate, rows: int) -> SplitLook:
    roles: Counter[str] = Counter()
    personal = PersonalData()
    examples: list[str] = []
    with split.path.open("rb") as lines:
        for line in lines:
            messages: list[dict[str, Any]] = orjson.loads(line)["messages"]
            roles.update(message["role"] for message in messages)
            personal.look([message["content"] for message in messages])
            if len(examples) < rows:
                examples.append(hidden(template.render(messages)))
    return SplitLook(
        name=split.name,
        recognised=split.recognised,
        taken=split.taken,
        rows=split.rows,
        rejected=split.findings,
        warnings=split.warnings,
        duplicates=split.findings.get(DUPLICATE, 0) + split.warnings.get(DUPLICATE, 0),
        leaks=split.findings.get(LEAK, 0) + split.warnings.get(LEAK, 0),
        unused=split.unused,
        roles=dict(roles.most_common()),
        lengths=split.lengths,
        estimated=split.estimated,
        bytes=split.bytes,
        examples=tuple(examples),
        personal=tuple(
            Personal(
                kind=kind,
                times=times,
                conversations=personal.conversations[kind],
                examples=tuple(personal.examples[kind]),
            )
            for kind, times in personal.counts.most_common()
        ),
    )
