"""Data as people have it: the layouts that files come in, and the shapes that their rows have.

    python -m tests.tasks.data.layouts

prints which of them are read here, which by `datasets.load_dataset` (in a process of its own), and which
LLaMA-Factory reads by its documentation.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from tasks.azure.failure import Failure
from tasks.data.prepare import prepare
from tasks.data.section import Data

Row = Any
Chat = list[dict[str, str]]
Write = Callable[[Path, list[Row], list[Row]], Path]
Text = Callable[[Sequence[Row]], bytes]

TRAIN, TEST = 12, 4  # conversations


def chats(count: int, split: str = "train", turns: int = 2) -> list[Chat]:
    """Conversations of which no two are the same, with marks, breaks and letters of all kinds."""
    return [
        [
            {
                "role": ("user", "assistant")[turn % 2],
                "content": f'{split} {number}.{turn}: “blå”, "x";\ty,\n[1] {{ö}} 🙂',
            }
            for turn in range(turns)
        ]
        for number in range(count)
    ]


SHAPES: dict[str, Callable[[Chat], Row]] = {
    "messages": lambda chat: {"messages": chat},
    "messages, text parts": lambda chat: {
        "messages": [
            {"role": m["role"], "content": [{"type": "text", "text": t} for t in _halves(m["content"])]}
            for m in chat
        ]
    },
    "messages, JSON text": lambda chat: {"messages": json.dumps(chat)},
    "messages, Python text": lambda chat: {"messages": repr(chat)},
    "messages, other keys": lambda chat: {
        "messages": [{**m, "name": "n", "weight": 1, "tool_calls": None} for m in chat]
    },
    "ShareGPT": lambda chat: {
        "id": "1",
        "conversations": [
            {"from": {"user": "human", "assistant": "gpt"}[m["role"]], "value": m["content"]} for m in chat
        ],
    },
    "prompt/completion": lambda chat: {"prompt": chat[0]["content"], "completion": chat[1]["content"]},
    "prompt/response": lambda chat: {"prompt": chat[0]["content"], "response": chat[1]["content"]},
    "prompt/completion as lists": lambda chat: {"prompt": chat[:1], "completion": chat[1:]},
    "instruction/input/output": lambda chat: {
        "instruction": chat[0]["content"].split("\n")[0],
        "input": chat[0]["content"].split("\n")[1],
        "output": chat[1]["content"],
    },
    "question/answer": lambda chat: {"question": chat[0]["content"], "answer": chat[1]["content"]},
    "list of turns": lambda chat: {"dialog": [m["content"] for m in chat]},
    "list of pairs": lambda chat: {"conversation": [[chat[0]["content"], chat[1]["content"]]]},
    "turns by who says them": lambda chat: {
        "conversations": [{"human": chat[0]["content"], "assistant": chat[1]["content"]}]
    },
    "question/context/answer": lambda chat: {
        "question": chat[0]["content"].split("\n")[0],
        "context": chat[0]["content"].split("\n")[1],
        "answer": chat[1]["content"],
    },
    "lists of columns": lambda chat: {
        "conversations": {"from": ["human", "gpt"], "value": [m["content"] for m in chat]}
    },
}


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _lines(rows: Sequence[Row]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def _array(rows: Sequence[Row]) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode()


def _pretty(rows: Sequence[Row]) -> bytes:
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()


def _pretty_lines(rows: Sequence[Row]) -> bytes:
    return "\n".join(json.dumps(row, indent=1) for row in rows).encode()


def _object(rows: Sequence[Row]) -> bytes:
    return json.dumps(
        {"version": 1, "tags": ["a"], "authors": [{"name": "x"}], "data": rows}, indent=1
    ).encode()


def _rows_of_a_list(rows: Sequence[Row]) -> bytes:
    return ("[" + ",\n".join(json.dumps(row) for row in rows) + "]").encode()


def _lines_with_commas(rows: Sequence[Row]) -> bytes:
    return ",\n".join(json.dumps(row) for row in rows).encode()


def _by_columns(rows: Sequence[Row]) -> bytes:
    """What pandas' `to_json` writes by default."""
    columns = {name: {str(at): row[name] for at, row in enumerate(rows)} for name in rows[0]}
    return json.dumps(columns).encode()


def _table_of_rows(rows: Sequence[Row]) -> bytes:
    """What pandas' `to_json(orient="split")` writes."""
    cells = [list(row.values()) for row in rows]
    return json.dumps({"columns": list(rows[0]), "index": list(range(len(rows))), "data": cells}).encode()


def _by_ids(rows: Sequence[Row]) -> bytes:
    return json.dumps({f"chat-{at}": row for at, row in enumerate(rows)}, indent=1).encode()


def _further_inside(rows: Sequence[Row]) -> bytes:
    return json.dumps({"version": 2, "export": {"at": "noon", "chats": rows}}).encode()


def _list_of_lists(rows: Sequence[Row]) -> bytes:
    found = [next(iter(row.values())) if len(row) == 1 else row for row in rows]
    return json.dumps(found).encode()


def _table(separator: str) -> Text:
    def write(rows: Sequence[Row]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), delimiter=separator)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()})
        return text.getvalue().encode()

    return write


def _parquet(rows: Sequence[Row]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), buffer, row_group_size=5)
    return buffer.getvalue()


def _arrow(rows: Sequence[Row], *, stream: bool = True) -> bytes:
    table, buffer = pa.Table.from_pylist(list(rows)), io.BytesIO()
    opened = pa.ipc.new_stream if stream else pa.ipc.new_file
    with opened(buffer, table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    return buffer.getvalue()


def _feather(rows: Sequence[Row]) -> bytes:
    return _arrow(rows, stream=False)


def _zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


def _zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.jsonl", content)
    return buffer.getvalue()


def _lz4(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as packing:
        packing.write(content)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _zip_with_a_note(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data/rows", content)
        archive.writestr("README.md", "[Chats]")
        archive.writestr("__MACOSX/._rows", b"\0\5\x16\7")
    return buffer.getvalue()


def _utf16(content: bytes) -> bytes:
    return content.decode().encode("utf-16")


def _utf16_without_a_mark(content: bytes) -> bytes:
    return content.decode().encode("utf-16-be")


def _of_windows(content: bytes) -> bytes:
    return codecs.BOM_UTF8 + content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _of_excel(content: bytes) -> bytes:
    return b"sep=;\r\n" + content


def _files(train: str, test: str, write: Text, packed: Callable[[bytes], bytes] = bytes) -> Write:
    """A layout of one file a split."""

    def lay_out(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
        for name, rows in ((train, trained), (test, tested)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(packed(write(rows)))
        return folder

    return lay_out


def _shards(names: Sequence[str], test: str, write: Text) -> Write:
    """A layout whose training split is in several files."""

    def lay_out(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
        many = len(names)
        for number, name in enumerate(names):
            part = trained[len(trained) * number // many : len(trained) * (number + 1) // many]
            content = write(part)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        (folder / test).parent.mkdir(parents=True, exist_ok=True)
        (folder / test).write_bytes(gzip.compress(write(tested)) if test.endswith(".gz") else write(tested))
        return folder

    return lay_out


def _spark(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    run = "0a1b2c3d-4e5f-6789-abcd-0123456789ab"
    names = [f"train/part-{n:05}-{run}-c000.snappy.parquet" for n in range(3)]
    _shards(names, f"test/part-00000-{run}-c000.snappy.parquet", _parquet)(folder, trained, tested)
    for split in ("train", "test"):
        (folder / split / "_SUCCESS").write_text("")
        (folder / split / f".part-00000-{run}-c000.snappy.parquet.crc").write_bytes(b"crc")
    return folder


def _clone(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    _files("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", _parquet)(
        folder, trained, tested
    )
    (folder / "dataset_infos.json").write_text('{"default": {"splits": {"train": {"num_examples": 12}}}}')
    (folder / "README.md").write_text("# Chats\n")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n")
    (folder / ".git" / "refs").mkdir(parents=True)
    (folder / ".git" / "refs" / "train").write_text("[")
    return folder


def _carded(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    _files("a/one.jsonl", "b/two.jsonl", _lines)(folder, trained, tested)
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: train, path: a/*.jsonl}\n"
        "  - split: test\n    path: [b/two.jsonl]\n---\n# Chats\n"
    )
    return folder


def _saved(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    """What `DatasetDict.save_to_disk` writes."""
    for split, rows in (("train", trained), ("test", tested)):
        place = folder / split
        place.mkdir()
        (place / "data-00000-of-00001.arrow").write_bytes(_arrow(rows))
        (place / "cache-0123456789abcdef.arrow").write_bytes(_arrow(rows[:1]))
        (place / "dataset_info.json").write_text(json.dumps({"features": {}, "splits": {}}))
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split}
        (place / "state.json").write_text(json.dumps(state))
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return folder


def _one_file(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    (folder / "chats.jsonl").write_bytes(_lines([*trained, *tested]))
    return folder / "chats.jsonl"


def _odd_name(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    return _files("train [v2]?.jsonl", "my test *.jsonl", _lines)(
        _made(folder / "my [v2] *data?"), trained, tested
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _one_document(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    (folder / "all.json").write_text(json.dumps({"train": trained, "licence": "MIT", "test": tested}))
    return folder


def _linked(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    elsewhere = _made(folder.with_name(f"{folder.name}-elsewhere"))
    _files("train/one.jsonl", "two.jsonl", _lines)(elsewhere, trained, tested)
    (folder / "train").symlink_to(elsewhere / "train")
    (folder / "test.jsonl").symlink_to(elsewhere / "two.jsonl")
    (folder / "again").symlink_to(folder)
    return folder


def _hidden(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    return _files("train.jsonl", "test.jsonl", _lines)(_made(folder / ".cache"), trained, tested)


def _littered(folder: Path, trained: list[Row], tested: list[Row]) -> Path:
    _files("train.jsonl", "test.jsonl", _lines)(folder, trained, tested)
    for name in ("train.jsonl~", "train.jsonl.bak", ".train.jsonl.swp", "._test.jsonl"):
        (folder / name).write_bytes(_lines(trained[:1]))
    for name in ("LICENSE.txt", "Thumbs.db", "notes.xlsx", ".DS_Store"):
        (folder / name).write_bytes(b"PK\x03\x04 {")
    return folder


LAYOUTS: dict[str, Write] = {
    "jsonl": _files("train.jsonl", "test.jsonl", _lines),
    "jsonl.gz": _files("train.jsonl.gz", "test.jsonl.gz", _lines, gzip.compress),
    "jsonl.bz2": _files("train.jsonl.bz2", "test.jsonl.bz2", _lines, bz2.compress),
    "jsonl.zst": _files("train.jsonl.zst", "test.jsonl.zst", _lines, _zstd),
    "jsonl.xz": _files("train.jsonl.xz", "test.jsonl.xz", _lines, lzma.compress),
    "zip of one file": _files("train.zip", "test.zip", _lines, _zip),
    "gzip under a plain name": _files("train.jsonl", "test.jsonl", _lines, gzip.compress),
    "json array": _files("train.json", "test.json", _array),
    "json array over lines": _files("train.json", "test.json", _pretty),
    "json array in .jsonl": _files("train.jsonl", "test.jsonl", _array),
    "objects over lines in .jsonl": _files("train.jsonl", "test.jsonl", _pretty_lines),
    "object that holds the list": _files("train.json", "test.json", _object),
    "object in .jsonl": _files("train.jsonl", "test.jsonl", _object),
    "list of lists": _files("train.json", "test.json", _list_of_lists),
    "jsonl called .txt": _files("train.txt", "test.txt", _lines),
    "csv": _files("train.csv", "test.csv", _table(",")),
    "csv with semicolons": _files("train.csv", "test.csv", _table(";")),
    "tsv.gz": _files("train.tsv.gz", "test.tsv.gz", _table("\t"), gzip.compress),
    "parquet": _files("train.parquet", "test.parquet", _parquet),
    "arrow stream": _files("train.arrow", "test.arrow", _arrow),
    "arrow file": _files("train.feather", "test.feather", _feather),
    "shards, one packed": _shards(
        ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl.gz"], "test.jsonl", _lines
    ),
    "folder a split, hashes": _shards(
        ["train/3f2a9c1b7d.jsonl", "train/a09b8c7d6e.jsonl"], "test/ffeeddccbb.jsonl", _lines
    ),
    "folder a split, any names": _shards(
        ["data/train/mon.jsonl", "data/train/tue.jsonl.gz"], "data/test/wed.jsonl", _lines
    ),
    "folders of partitions": _shards(["split=train/x.jsonl"], "split=test/y.jsonl", _lines),
    "Spark's parts": _spark,
    "clone of a hub repository": _clone,
    "clone with a card's splits": _carded,
    "save_to_disk": _saved,
    "one file": _one_file,
    "names with [ ] ? *": _odd_name,
    "lz4": _files("train.jsonl.lz4", "test.jsonl.lz4", _lines, _lz4),
    "lzma": _files("train.lzma", "test.lzma", _lines, lambda b: lzma.compress(b, lzma.FORMAT_ALONE)),
    "gzip twice": _files("train.json.gz", "test.json.gz", _array, lambda b: gzip.compress(gzip.compress(b))),
    "zip with a note, no suffix inside": _files("train.zip", "test.zip", _lines, _zip_with_a_note),
    "parquet.gz": _files("train.parquet.gz", "test.parquet.gz", _parquet, gzip.compress),
    "zip of arrow": _files("train.zip", "test.zip", _arrow, _zip),
    "UTF-16": _files("train.jsonl", "test.jsonl", _lines, _utf16),
    "UTF-16 without a mark": _files("train.json", "test.json", _pretty, _utf16_without_a_mark),
    "UTF-16 table of Excel": _files("train.csv", "test.csv", _table("\t"), _utf16),
    "mark and line ends of Windows": _files("train.jsonl", "test.jsonl", _lines, _of_windows),
    "Excel's sep=;": _files("train.csv", "test.csv", _table(";"), _of_excel),
    "parquet called .json": _files("train.json", "test.json", _parquet),
    "arrow called .parquet": _files("train.parquet", "test.parquet", _feather),
    "jsonl called .parquet": _files("train.parquet", "test.parquet", _lines),
    "jsonl called .csv": _files("train.csv", "test.csv", _lines),
    "csv called .jsonl": _files("train.jsonl", "test.jsonl", _table(",")),
    "tsv called .txt": _files("train.txt", "test.txt", _table("\t")),
    "list with a row a line": _files("train.json", "test.json", _rows_of_a_list),
    "lines that end with a comma": _files("train.jsonl", "test.jsonl", _lines_with_commas),
    "pandas' columns": _files("train.json", "test.json", _by_columns),
    "pandas' table": _files("train.json", "test.json", _table_of_rows),
    "rows by their ids": _files("train.json", "test.json", _by_ids),
    "list further inside": _files("train.json", "test.json", _further_inside),
    "splits in one document": _one_document,
    "linked folders": _linked,
    "below a hidden folder": _hidden,
    "what editors leave": _littered,
    "mytrain and mytest": _files("mytrain.jsonl", "mytest.jsonl", _lines),
    "ChatTrain and ChatTest": _files("ChatTrain.jsonl", "ChatTest.jsonl", _lines),
}


# What data/README.md of LLaMA-Factory says: files of json, jsonl, csv, parquet and arrow, those of a folder
# all of one type; txt is for pre-training. It recognises nothing by itself: "described" is what it reads
# once somebody has written the file's name, format, columns and tags into dataset_info.json.
_DESCRIBED = "described"
LLAMA_FACTORY = dict.fromkeys(
    [
        "jsonl",
        "json array",
        "json array over lines",
        "csv",
        "parquet",
        "arrow stream",
        "folder a split, hashes",
        "folders of partitions",
        "one file",
        "messages",
        "messages, other keys",
        "ShareGPT",
        "prompt/completion",
        "prompt/response",
        "question/answer",
    ],
    _DESCRIBED,
) | dict.fromkeys(["json array in .jsonl", "objects over lines in .jsonl", "names with [ ] ? *"], "not said")
LLAMA_FACTORY["instruction/input/output"] = "yes"


def read(source: Path, directory: Path, **fields: Any) -> list[Chat]:
    """All conversations of all splits, as they would be trained on."""
    found = prepare(Data(dataset=str(source), directory=directory, **fields))
    lines = [line for split in found.splits for line in split.path.read_bytes().splitlines()]
    return [json.loads(line)["messages"] for line in lines]


def is_same(found: list[Chat], expected: list[Chat]) -> bool:
    """Whether the conversations are the same, in any order."""
    return sorted(map(_text, found)) == sorted(map(_text, expected))


def _text(chat: Chat) -> str:
    return json.dumps([[message["role"], message["content"]] for message in chat])


_BY_DATASETS = """
import sys, datasets
datasets.disable_progress_bars()
for source in sys.stdin.read().splitlines():
    try:
        found = datasets.load_dataset(source, cache_dir=sys.argv[1]) if not source.endswith("jsonl") else \\
            datasets.load_dataset("json", data_files=source, cache_dir=sys.argv[1])
        print(sum(split.num_rows for split in found.values()))
    except BaseException as error:
        print(type(error).__name__)
"""


def by_datasets(sources: Sequence[Path], cache: Path) -> list[str]:
    """The rows that `datasets` loads from each, or the error that it raises."""
    done = subprocess.run(
        [sys.executable, "-c", _BY_DATASETS, str(cache)],
        input="\n".join(map(str, sources)),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def main() -> None:
    with TemporaryDirectory() as scratch:
        base = Path(scratch)
        expected = chats(TRAIN) + chats(TEST, "test")
        shape = SHAPES["messages"]
        sources = [
            lay_out(
                _made(base / str(at)),
                [shape(c) for c in expected[:TRAIN]],
                [shape(c) for c in expected[TRAIN:]],
            )
            for at, lay_out in enumerate(LAYOUTS.values())
        ]
        others = by_datasets(sources, base / "cache")
        print(f"{'layout':32}{'here':>8}  {'datasets.load_dataset':26}LLaMA-Factory")
        for name, source, other in zip(LAYOUTS, sources, others, strict=True):
            ours = "no"
            with suppress(Failure):
                ours = "yes" if is_same(read(source, base / "prepared"), expected) else "in part"
            theirs = "yes" if other == str(TRAIN + TEST) else f"{other} rows" if other.isdigit() else other
            print(f"{name:32}{ours:>8}  {theirs:26}{LLAMA_FACTORY.get(name, 'no')}")
        print(f"\n{'shape (as jsonl)':32}{'here':>8}  LLaMA-Factory")
        for at, (name, shape) in enumerate(SHAPES.items()):
            folder = _made(base / f"shape-{at}")
            LAYOUTS["jsonl"](
                folder, [shape(c) for c in expected[:TRAIN]], [shape(c) for c in expected[TRAIN:]]
            )
            ours = "yes" if is_same(read(folder, base / "prepared"), expected) else "no"
            print(f"{name:32}{ours:>8}  {LLAMA_FACTORY.get(name, 'no')}")


if __name__ == "__main__":
    main()
