"""What preparing data would come to: rows, and bytes to fetch, before any row is read."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from tasks.data import choice, ranges
from tasks.data.choice import Part
from tasks.data.layout import Format
from tasks.data.prepare import prepared_before
from tasks.data.prepared import PreparedData
from tasks.data.progress_counter import ProgressCounter
from tasks.data.reader import opened
from tasks.data.resolve import resolve
from tasks.data.section import TUTORIAL, Data
from tasks.data.source import Source
from tasks.data.window import Window

# The tutorial's dataset is known without asking: its rows by split, and the bytes of a conversation, as the
# hub's pages of it and of a copy with nothing but the messages state them.
_TUTORIAL = {"train_sft": 207_865, "test_sft": 23_110}
_TUTORIAL_BYTES = 5_788


class ExpectedSplit(BaseModel):
    """A split before it is prepared; None is what takes reading to know.

    `rows` are before the checks of the rows, `fetched` bytes come over the network or from the disk, and
    `text` are the bytes of the rows once they are unpacked.
    """

    model_config = ConfigDict(frozen=True)

    role: str
    name: str
    take: str
    rows: int | None = None
    fetched: int | None = None
    text: int | None = None


class Expected(BaseModel):
    """The splits, training first; `prepared` is what an equal request has made already."""

    model_config = ConfigDict(frozen=True)

    source: str
    revision: str | None
    splits: tuple[ExpectedSplit, ...]
    prepared: PreparedData | None = None

    @property
    def fetched(self) -> int | None:
        """Bytes to fetch of all splits."""
        found = [split.fetched for split in self.splits]
        return None if None in found else sum(each or 0 for each in found)

    @property
    def training(self) -> ExpectedSplit:
        return self.splits[0]


def expect(data: Data, window: Window) -> Expected:
    """What a run would prepare; footers of the files are read, and files of lines on this machine counted.

    Raises Failure in one line for what is wrong with the source.
    """
    source = resolve(data)
    parts = choice.parts(data, source)
    found = prepared_before(data, source, window)
    if found is not None:
        return of_prepared(found, data)
    return Expected(
        source=source.name,
        revision=source.revision,
        splits=tuple(_expected(data, source, part, parts) for part in parts),
    )


def of_prepared(found: PreparedData, data: Data) -> Expected:
    """What has been prepared, of which nothing is to be fetched any more."""
    every = (
        ("train", found.train, data.train),
        ("validation", found.validation, data.validation),
        ("test", found.test, data.test),
    )
    splits = (
        ExpectedSplit(role=role, name=split.name, take=asked.take, rows=split.rows, fetched=0)
        for role, split, asked in every
        if split is not None
    )
    return Expected(source=found.source, revision=found.revision, splits=tuple(splits), prepared=found)


def expect_offline(data: Data) -> Expected:
    """What the section says, and what is known of the tutorial's dataset; nothing is asked or listed."""
    splits = []
    for role, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if role == "validation" and split.name is None:
            continue
        known = _TUTORIAL.get(split.name or "") if data.dataset == TUTORIAL else None
        rows = split.count(known) if known else None if split.take.endswith("%") else int(split.take)
        text = _TUTORIAL_BYTES * rows if known and rows else None
        splits.append(ExpectedSplit(role=role, name=split.name or "", take=split.take, rows=rows, text=text))
    return Expected(source=data.dataset, revision=data.revision, splits=tuple(splits))


def _expected(data: Data, source: Source, part: Part, parts: Sequence[Part]) -> ExpectedSplit:
    split = ExpectedSplit(role=part.role, name=part.title, take=part.split.take)
    if source.formats[part.files[0]] is Format.PARQUET:
        return split.model_copy(update=_by_footers(data, source, part, parts))
    size = sum(int(source.fs.size(path) or 0) for path in part.files)
    if not ranges.is_local(source.fs):  # to count lines is to fetch them
        whole = part.split.take.endswith("%") or part.cut
        return split.model_copy(update={"rows": None if whole else int(part.split.take), "fetched": size})
    with opened(data, source, part.files, ProgressCounter()) as reader:
        total = reader.total
    rows = len(choice.rows_of(data, part, parts, total))
    return split.model_copy(update={"rows": rows, "fetched": size, "text": size * rows // max(total, 1)})


def _by_footers(data: Data, source: Source, part: Part, parts: Sequence[Part]) -> dict[str, int]:
    from tasks.data.columns import Columns
    from tasks.data.parquet import ParquetRows
    from tasks.data.shape import wanted

    columns = Columns(lambda there: wanted(there, data))
    with ParquetRows(source.fs, part.files, columns, ProgressCounter()) as reader:
        rows = choice.rows_of(data, part, parts, reader.total)
        fetched, text = reader.sizes(rows)
    return {"rows": len(rows), "fetched": fetched, "text": text}
