"""From a source to two files of good conversations, done once for equal requests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from tasks.azure.failure import Cause, Failure
from tasks.core.reuse import Reused
from tasks.data import choice
from tasks.data.choice import Part
from tasks.data.prepared import PreparedData, PreparedSplit
from tasks.data.progress_counter import OnProgress, ProgressCounter, ignored
from tasks.data.reader import Reader, opened
from tasks.data.resolve import resolve
from tasks.data.section import Data
from tasks.data.source import Source
from tasks.data.window import Window

if TYPE_CHECKING:
    from tasks.data.output import Output

_MANIFEST = "manifest.json"
_UNKNOWN = Window()
_UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR}
_FORMAT = 4  # of the files written; part of the request, so that an older layout is not taken for this one
_NAMED = 20  # files beside the data
_FEW = 3  # rows: a file of so few is rather one whose rows are not where they are looked for


def prepare(data: Data, on_progress: OnProgress = ignored, window: Window = _UNKNOWN) -> PreparedData:
    """The splits as JSON Lines; the same request again reads nothing but the listing of the source.

    `window` is the base model's, for where the section sets no limit or no tokenizer of its own. Raises
    Failure in one line for everything that can be wrong with the source or its rows.
    """
    with _disk_errors():
        source = resolve(data)
        parts = choice.parts(data, source)
        window = window.chosen(data)
        folder = _folder(data, source, window)
        if found := _prepared_before(folder):
            reused = Reused(kind="data", name=found.source)
            return found.model_copy(update={"reused": reused, "bytes_read": 0, "window": window})
        return _Preparing(data, source, parts, window, folder).run(on_progress)


def prepared_before(data: Data, source: Source, window: Window = _UNKNOWN) -> PreparedData | None:
    """What an equal request has prepared, if it is still there; nothing of the source is read."""
    window = window.chosen(data)
    found = _prepared_before(_folder(data, source, window))
    return found.model_copy(update={"window": window}) if found else None


def _folder(data: Data, source: Source, window: Window) -> Path:
    root = data.directory.expanduser() if data.directory else _cache()
    return root / _request(data, source, window)


def _request(data: Data, source: Source, window: Window) -> str:
    """A name for the request, other for every choice, every window and every state of the source."""
    asked = data.model_dump(mode="json", exclude={"directory", "quarantine_limit", "max_tokens", "tokenizer"})
    text = json.dumps([_FORMAT, asked, window.identity, source.identity, source.revision], sort_keys=True)
    name = source.name.rstrip("/").rsplit("/", 1)[-1]
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:40]
    return f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _prepared_before(folder: Path) -> PreparedData | None:
    try:
        found = PreparedData.model_validate_json((folder / _MANIFEST).read_text())
    except (FileNotFoundError, ValueError):
        return None
    for split in found.splits:
        if not split.path.is_file() or split.path.stat().st_size != split.bytes:
            return None
    return found


class _Preparing:
    """One request, written into a folder beside the final one, which appears when all in it is whole."""

    def __init__(
        self, data: Data, source: Source, parts: Sequence[Part], window: Window, folder: Path
    ) -> None:
        from tasks.data.row_filter import RowFilter
        from tasks.data.tokens import Tokens

        self._data, self._source, self._parts, self._window = data, source, parts, window
        self._filter = RowFilter(data, Tokens(window))
        self._folder = folder
        self._cut: list[Output] = []  # splits that are cut from one

    def run(self, on_progress: OnProgress) -> PreparedData:
        """Write the splits."""
        self._counter = ProgressCounter(len(self._parts), on_progress)
        folder = self._folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._draft = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            splits = self._written()
            prepared = self._described({role: _moved(split, folder) for role, split in splits.items()})
            (self._draft / _MANIFEST).write_text(prepared.model_dump_json(indent=1))
            _publish(self._draft, folder)
            return prepared
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)

    def _written(self) -> dict[str, PreparedSplit]:
        """The splits by their roles; files of which several are cut are opened, and fetched, once."""
        found: dict[str, PreparedSplit] = {}
        with ExitStack() as stack:
            disk = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="sync"))
            readers: dict[tuple[str, ...], Reader] = {}
            for part in self._parts:
                if found:
                    self._filter.next_split()
                self._counter.begin(part.title)
                if part.files not in readers:
                    made = opened(self._data, self._source, part.files, self._counter)
                    readers[part.files] = stack.enter_context(made)
                if (split := self._split(part, readers[part.files])) is not None:
                    found[part.role] = split
                    disk.submit(_sync, split.path)  # while the next is prepared
        return found

    def _described(self, splits: dict[str, PreparedSplit]) -> PreparedData:
        source, data = self._source, self._data
        used = {file for part in self._parts for file in part.files}
        idle = sorted(name for name, files in source.splits.items() if not used & set(files))
        others = source.others
        more = (f"and {len(others) - _NAMED:,} more",) if len(others) > _NAMED else ()
        return PreparedData(
            source=source.name,
            revision=source.revision,
            seed=data.seed if data.rows == "seeded" or any(part.cut for part in self._parts) else None,
            train=splits["train"],
            validation=splits.get("validation"),
            test=splits["test"],
            unused_splits=tuple(idle),
            unused_files=(*others[:_NAMED], *more),
            directory=self._folder,
            window=self._window,
            bytes_read=self._counter.bytes,
        )

    def _split(self, part: Part, reader: Reader) -> PreparedSplit | None:
        """One split into the draft; None for a validation split for which too few rows are there."""
        from tasks.data.output import Output

        with Output(self._draft, _file_name(part)) as output:
            taken = self._filtered(part, reader, output)
        if taken is None:
            output.path.unlink()
            return None
        self._judge(part, output)
        unused: dict[str, int | None] = dict.fromkeys(sorted(reader.unused))
        return PreparedSplit(
            name=part.title,
            cut_from=part.name if part.cut else None,
            path=output.path,
            rows=output.rows,
            bytes=output.bytes,
            sha256=output.sha256,
            quarantined=output.quarantined,
            findings=dict(output.reasons.most_common()),
            quarantine=output.quarantine if output.quarantined else None,
            warnings={reason: count for reason, count in self._filter.warnings.items() if count},
            taken=taken,
            recognised=str(self._filter.recognised or ""),
            unused=unused | dict(self._filter.unused.most_common()),
            lengths=self._filter.lengths(),
        )

    def _filtered(self, part: Part, reader: Reader, output: Output) -> str | None:
        """Which rows were taken. Only a share, a cut or a sample makes it necessary to count lines first."""
        at_once = self._data.rows == "first" and not part.cut and not part.split.take.endswith("%")
        total = None if at_once and self._source.formats[part.files[0]].family == "text" else reader.total
        if part.cut and total and total <= _FEW:
            self._filter.check_shape(batch for _, batch in reader.batches(range(total)))
        rows = (
            range(int(part.split.take))
            if total is None
            else choice.rows_of(self._data, part, self._parts, total)
        )
        if not len(rows):
            return None
        self._counter.expect(len(rows))
        done = 0
        for positions, batch in reader.batches(rows):
            filtered = self._filter.rows if isinstance(batch, list) else self._filter.frame
            output.write(*filtered(positions, batch))
            self._counter.done(len(positions))
            done += len(positions)
        if total is None:
            return f"the first {done:,} rows"
        return choice.described(self._data, part, rows, total)

    def _judge(self, part: Part, output: Output) -> None:
        """Raise Failure where too many rows were rejected, or none is left."""
        together, name = [output], part.title
        if part.cut:  # what stands twice in one file is rejected of whichever part comes later
            self._cut.append(output)
            together, name = self._cut, part.name
        if not part.cut or part.role == "test" or not output.rows:
            self._judge_together(name, together)
        if not output.rows:
            examples = "; ".join(f"row {bad.position:,}: {bad.reason}" for bad in output.examples)
            raise Failure(
                f"No row of {part.title} is left to train on{f' ({examples})' if examples else ''}.",
                f"Take more rows, or fix the source{_switches([output])}.",
                cause=Cause.DATA,
            )

    def _judge_together(self, name: str, outputs: Sequence[Output]) -> None:
        rejected = sum(output.quarantined for output in outputs)
        seen, limit = rejected + sum(output.rows for output in outputs), self._data.quarantine_limit
        if rejected <= seen * limit / 100:
            return
        kept = []
        for output in outputs:
            if output.quarantined:
                kept.append(self._folder.with_name(f"{self._folder.name}.{output.quarantine.name}"))
                os.replace(output.quarantine, kept[-1])
        bad = [bad for output in outputs for bad in output.examples][:3]
        examples = "; ".join(f"row {one.position:,}: {one.reason}" for one in bad)
        raise Failure(
            f"{rejected:,} of {seen:,} rows of {name} are rejected "
            f"({100 * rejected / seen:.1f}%, more than {limit:g}%): {examples}.",
            f"Fix the source (all rejected rows are in {' and '.join(map(str, kept))}), or raise "
            f"data.quarantine_limit{_switches(outputs)}.",
            cause=Cause.DATA,
        )


def _switches(outputs: Sequence[Output]) -> str:
    """The settings that would let rejected rows pass."""
    from tasks.data.row_filter import DUPLICATE, LEAK

    reasons = {reason for output in outputs for reason in output.reasons}
    found = []
    if any(reason.startswith("longer") for reason in reasons):
        found.append(" or data.max_tokens")
    if any("unknown role" in reason for reason in reasons):
        found.append(", or say who it is: data.roles={NAME: assistant}")
    if LEAK in reasons:
        found.append(", or set data.checks.leaks=warn")
    if DUPLICATE in reasons:
        found.append(", or set data.checks.duplicates=warn")
    return "".join(found)


def _file_name(part: Part) -> str:
    """A name for the split's file: its own, as far as that can be one."""
    own = part.name.rsplit("/", 1)[-1]
    stem = own.partition(".")[0] if part.name in part.files or "." in own else own
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in stem).strip("-.")[:60]
    return f"{safe or 'split'}-{part.role}" if part.cut or safe != own else safe


def _moved(split: PreparedSplit, folder: Path) -> PreparedSplit:
    quarantine = split.quarantine and folder / split.quarantine.name
    return split.model_copy(update={"path": folder / split.path.name, "quarantine": quarantine})


def _publish(draft: Path, folder: Path) -> None:
    for file in draft.iterdir():
        _sync(file)
    try:
        draft.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if _prepared_before(folder) is None:  # damaged, or of a crash: nobody can use it
            shutil.rmtree(folder)
            draft.rename(folder)


def _cache() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("azureml-finetune")) / "data"


def _sync(file: Path) -> None:
    """Have the file on the disk, or learn why it is not."""
    with file.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "The disk is full."
        elif error.errno in _UNUSABLE:
            what = f"{error.filename} cannot be written or read."
        else:
            raise
        raise Failure(
            what,
            "Set data.directory to a place with room that you may write to.",
            str(error),
            cause=Cause.STORAGE,
        ) from error
