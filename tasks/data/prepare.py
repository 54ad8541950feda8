"""From a source to two files of good conversations, done once for equal requests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from tasks.azure.failure import Cause, Failure
from tasks.data.prepared import PreparedData, PreparedSplit
from tasks.data.progress_counter import Meter, Watch, unwatched
from tasks.data.section import Data, Split
from tasks.data.source import Source, resolve
from tasks.data.window import Window

if TYPE_CHECKING:
    from tasks.data.output import Output
    from tasks.data.row_filter import Sieve

_MANIFEST = "manifest.json"
_UNKNOWN = Window()
_UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR}
_FORMAT = 3  # of the files written; part of the request, so that an older layout is not taken for this one


def prepare(data: Data, watch: Watch = unwatched, window: Window = _UNKNOWN) -> PreparedData:
    """Both splits as JSON Lines; the same request again reads nothing but the listing of the source.

    `window` is the base model's, for where the section sets no limit or no tokenizer of its own. Raises
    Failure in one line for everything that can be wrong with the source or its rows.
    """
    with _disk_errors():
        if data.train.name == data.test.name:
            raise Failure(
                f"The training and the test split are the same ({data.train.name}).",
                "Set data.train.name and data.test.name to different splits.",
                cause=Cause.CONFIGURATION,
            )
        source = resolve(data)
        for split in (data.train, data.test):
            source.files(split.name)
        window = window.chosen(data)
        root = data.directory.expanduser() if data.directory else _cache()
        folder = root / _request(data, source, window)
        if found := _prepared_before(folder):
            return found.model_copy(update={"reused": True, "bytes_read": 0, "window": window})
        return _prepare(data, source, window, folder, watch)


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
    for split in (found.train, found.test):
        if not split.path.is_file() or split.path.stat().st_size != split.bytes:
            return None
    return found


def _prepare(data: Data, source: Source, window: Window, folder: Path, watch: Watch) -> PreparedData:
    """Write into a folder beside the final one, which appears when everything in it is whole."""
    from tasks.data.row_filter import Sieve
    from tasks.data.tokens import Tokens

    meter = Meter(2, watch)
    sieve = Sieve(data, Tokens(window))
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="sync") as disk:
            train = _split(source, data.train, sieve, draft, folder, meter)
            syncing = disk.submit(_sync, train.path)  # the larger one, while the other is prepared
            sieve.next_split()
            test = _split(source, data.test, sieve, draft, folder, meter)
            syncing.result()
        prepared = PreparedData(
            source=source.name,
            revision=source.revision,
            seed=data.seed if data.rows == "seeded" else None,
            train=_moved(train, folder),
            test=_moved(test, folder),
            directory=folder,
            window=window,
            bytes_read=meter.bytes,
        )
        (draft / _MANIFEST).write_text(prepared.model_dump_json(indent=1))
        _publish(draft, folder)
        return prepared
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _split(
    source: Source, split: Split, sieve: Sieve, draft: Path, folder: Path, meter: Meter
) -> PreparedSplit:
    """One split into the draft of the folder."""
    from tasks.data.output import Output

    data, name = sieve.data, Path(split.name).stem
    meter.begin(split.name)
    with Output(draft, name) as output:
        read = _parquet if source.format == "parquet" else _text
        taken = read(data, source, split, sieve, output, meter)
    seen = output.rows + output.quarantined
    if output.quarantined > seen * data.quarantine_limit / 100:
        kept = folder.with_name(f"{folder.name}.{output.quarantine.name}")
        os.replace(output.quarantine, kept)
        examples = "; ".join(f"row {bad.position:,}: {bad.reason}" for bad in output.examples)
        long = any(reason.startswith("longer") for reason in output.reasons)
        raise Failure(
            f"{output.quarantined:,} of {seen:,} rows of {split.name} are bad "
            f"({100 * output.quarantined / seen:.1f}%, more than {data.quarantine_limit:g}%): {examples}.",
            f"Mend the source (all bad rows are in {kept}), or raise data.quarantine_limit"
            f"{' or data.max_tokens' if long else ''}.",
            cause=Cause.DATA,
        )
    if not output.rows:
        raise Failure(
            f"No row of {split.name} is left to train on.",
            "Take more rows, or mend the source.",
            cause=Cause.DATA,
        )
    return PreparedSplit(
        name=split.name,
        path=output.path,
        rows=output.rows,
        bytes=output.bytes,
        sha256=output.sha256,
        quarantined=output.quarantined,
        findings=dict(output.reasons.most_common()),
        quarantine=output.quarantine if output.quarantined else None,
        taken=taken,
        lengths=sieve.lengths(),
    )


def _parquet(data: Data, source: Source, split: Split, sieve: Sieve, output: Output, meter: Meter) -> str:
    from tasks.data.choice import choose, described
    from tasks.data.parquet import ParquetRows

    wanted = [data.column(name) for name in ("prompt", "messages", "prompt_id")]
    with ParquetRows(source.fs, source.files(split.name), wanted, meter) as parquet:
        rows = choose(data, split, parquet.total)
        meter.expect(len(rows))
        for positions, frame in parquet.batches(rows):
            if data.column("messages") not in frame.columns:
                raise _no_messages(data, source)
            output.write(*sieve.frame(positions, frame))
            meter.done(len(positions))
        return described(data, split, rows, parquet.total)


def _text(data: Data, source: Source, split: Split, sieve: Sieve, output: Output, meter: Meter) -> str:
    """Stream the rows. Only a share, or a sample, makes it necessary to count them first."""
    from tasks.data.choice import choose, described
    from tasks.data.text import TextRows

    with TextRows(source.fs, source.files(split.name), source.format, meter) as files:
        total = None if data.rows == "first" and not split.take.endswith("%") else files.count()
        rows = range(int(split.take)) if total is None else choose(data, split, total)
        meter.expect(len(rows))
        done = 0
        for positions, batch in files.batches(rows):
            output.write(*sieve.rows(positions, batch))
            meter.done(len(batch))
            done += len(batch)
        return f"the first {done:,} rows" if total is None else described(data, split, rows, total)


def _no_messages(data: Data, source: Source) -> Failure:
    return Failure(
        f"{source.name} has no column {data.column('messages')!r}.",
        "Map it: data.columns.messages=NAME. The column holds lists of role and content.",
        cause=Cause.DATA,
    )


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
