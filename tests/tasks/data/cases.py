"""Cases from public bug reports and from the wild, each with what came of it before and what comes of it now.

    python -m tests.tasks.data.cases

prints the table; tests/tasks/data/test_cases.py holds every line of it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.azure.failure import Failure
from tasks.data.prepare import prepare
from tasks.data.section import Data
from tests.tasks.data.layouts import LAYOUTS, SHAPES, chats

Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Case:
    """Data, and what must be in the line that says what came of it."""

    id: str
    what: str
    before: str
    make: Make
    now: str
    fields: dict[str, Any] = field(default_factory=dict)


def outcome(case: Case, folder: Path) -> str:
    """What came of the case, in one line."""
    (folder / "in").mkdir(parents=True)
    source = case.make(folder / "in")
    try:
        found = prepare(Data(dataset=str(source), directory=folder / "out", **case.fields))
    except Failure as failure:
        return f"refused: {failure}"
    said = [f"{' + '.join(str(split.rows) for split in found.splits)} rows ({found.train.recognised})"]
    for split in found.splits:
        said += [f"{count} rejected: {reason}" for reason, count in split.findings.items()]
        said += [f"not used: {what}" for what in split.unused]
    said += [f"not used: {name}" for name in (*found.unused_splits, *found.unused_files)]
    return "; ".join(dict.fromkeys(said))


def _lines(*extra: Any, shape: str = "messages", test: list[Any] | None = None) -> Make:
    """Ten good rows and those given, and a test split."""

    def make(folder: Path) -> Path:
        row = SHAPES[shape]
        _write(folder / "train.jsonl", [*map(row, chats(10)), *extra])
        _write(folder / "test.jsonl", test or [row(chat) for chat in chats(4, "test")])
        return folder

    return make


def _write(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _laid_out(name: str, shape: str = "messages") -> Make:
    def make(folder: Path) -> Path:
        row = SHAPES[shape]
        return LAYOUTS[name](folder, list(map(row, chats(12))), [row(chat) for chat in chats(4, "test")])

    return make


def _said(**more: Any) -> Any:
    """A conversation whose answer says more than role and content."""
    question, answer = chats(1, "more")[0]
    return {"messages": [question, {**answer, **more}]}


def _missing_shard(folder: Path) -> Path:
    for number in (0, 2):
        _write(
            folder / f"train-{number:05}-of-00003.jsonl",
            [SHAPES["messages"](c) for c in chats(4, str(number))],
        )
    _write(folder / "test.jsonl", [SHAPES["messages"](chat) for chat in chats(4, "test")])
    return folder


def _unread_beside(folder: Path) -> Path:
    _lines()(folder)
    (folder / "extra.xlsx").write_bytes(b"PK\x05\x06")
    _write(folder / "holdback.jsonl", [SHAPES["messages"](chat) for chat in chats(3, "more")])
    return folder


def _listed_prompt(folder: Path) -> Path:
    for split, count in (("train", 10), ("test", 4)):
        rows = [{"prompt": chat[:1], "prompt_id": 7, "messages": chat} for chat in chats(count, split)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
    return folder


def _half_emoji(folder: Path) -> Path:
    rows = [{"messages": chat} for chat in chats(10)]
    rows[3] = {"messages": [{"role": "user", "content": "Cut \ud83d"}, {"role": "assistant", "content": "x"}]}
    (folder / "train.json").write_text(json.dumps(rows))
    _write(folder / "test.jsonl", [{"messages": chat} for chat in chats(4, "test")])
    return folder


def _greetings(folder: Path) -> Path:
    for split, count in (("train", 10), ("test", 4)):
        hello = {"role": "user", "content": "Hi"}
        _write(folder / f"{split}.jsonl", [{"messages": [hello, chat[1]]} for chat in chats(count, split)])
    return folder


def _pointer(folder: Path) -> Path:
    (folder / "train.parquet").write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    return folder


def _two_kinds(folder: Path) -> Path:
    _lines()(folder)
    rows = [SHAPES["messages"](chat) for chat in chats(10)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    return folder


def _unknown(folder: Path) -> Path:
    _write(folder / "notes.jsonl", [{"title": "a", "body": "b" * 500}] * 10)
    return folder / "notes.jsonl"


def _subsets(folder: Path) -> Path:
    for name in ("en", "de"):
        (folder / name).mkdir()
        _lines()(folder / name)
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files:\n  - {{split: train, path: {name}/train.jsonl}}\n"
        f"  - {{split: test, path: {name}/test.jsonl}}\n"
        for name in ("en", "de")
    )
    (folder / "README.md").write_text(f"{card}---\n")
    return folder


def _surplus_cells(folder: Path) -> Path:
    (folder / "train.csv").write_text("prompt,response\na,b\nc,d,e\nf,g\n")
    (folder / "test.csv").write_text("prompt,response\nh,i\n")
    return folder


def _leaked(folder: Path) -> Path:
    return _lines(test=[SHAPES["messages"](chat) for chat in chats(1) + chats(4, "test")])(folder)


def _cut_off(folder: Path) -> Path:
    content = gzip.compress("".join(f"{json.dumps({'messages': c})}\n" for c in chats(500)).encode())
    (folder / "all.jsonl.gz").write_bytes(content[: len(content) // 2])
    return folder / "all.jsonl.gz"


def _file(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder

    return make


def _parts_of(folder: Path) -> Path:
    for number in (1, 2):
        _write(
            folder / f"train.part{number}of3.jsonl", [SHAPES["messages"](c) for c in chats(4, str(number))]
        )
    return folder


def _unclear_names(folder: Path) -> Path:
    for name in ("supporttraining1", "supporttests1"):
        _write(folder / f"{name}.jsonl", [SHAPES["messages"](chat) for chat in chats(10, name)])
    return folder


def _unnamed_column(folder: Path) -> Path:
    (folder / "all.csv").write_text(
        ",prompt,response\n" + "".join(f"{n},question {n},answer {n}\n" for n in range(10))
    )
    return folder


def _numbered(folder: Path) -> Path:
    rows = [{"question": f"{n} + {n}?", "answer": 2 * n} for n in range(10)]
    _write(folder / "all.jsonl", rows)
    return folder


LAX = {"quarantine_limit": 50}
PICTURE = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "x"}}]

CASES = [
    Case(
        "F03",
        "weight 0 on an answer",
        "trained on, silently",
        _lines(_said(weight=0)),
        "1 rejected: message 1 has weight 0",
        LAX,
    ),
    Case(
        "F03",
        "a tool call beside text",
        "dropped, silently",
        _lines(_said(tool_calls=[{"id": "1"}])),
        "1 rejected: message 1 calls a tool (tool_calls)",
        LAX,
    ),
    Case(
        "F03",
        "name of a speaker",
        "dropped, silently",
        _lines(_said(name="Ann")),
        "not used: message key name",
    ),
    Case(
        "F03",
        "train: false (axolotl)",
        "trained on, silently",
        _lines(_said(train=False)),
        "1 rejected: message 1 has train False",
        LAX,
    ),
    Case(
        "F03",
        "an image among the parts",
        "rejected, no reason",
        _lines(_said(content=PICTURE)),
        "1 rejected: message 1 holds more than text (image_url)",
        LAX,
    ),
    Case(
        "F03",
        "an image column (LLaVA)",
        "dropped, silently",
        _lines({"image": "a.png", "messages": chats(1, "i")[0]}),
        "1 rejected: the row holds more than text (image)",
        LAX,
    ),
    Case(
        "F04",
        "one shard of two ends in .gz",
        "half of it, silently",
        _laid_out("shards, one packed"),
        "12 + 4 rows",
    ),
    Case(
        "F04",
        "files and splits that are not read",
        "passed over, silently",
        _unread_beside,
        "not used: holdback; not used: extra.xlsx",
    ),
    Case(
        "F04i",
        "a shard of n-of-m is missing",
        "the rest, silently",
        _missing_shard,
        "refused: {in} has 2 of 3 files of train: train-00001-of-00003 missing.",
    ),
    Case(
        "F04j", "gzip under a plain name", "'not UTF-8'", _laid_out("gzip under a plain name"), "12 + 4 rows"
    ),
    Case(
        "F11",
        "prompt is a list (parquet)",
        "crash",
        _listed_prompt,
        "10 + 4 rows (messages); not used: column prompt (not text)",
    ),
    Case(
        "F15",
        "half an emoji in .json",
        "'Cut ?', silently",
        _half_emoji,
        "9 + 4 rows (messages); 1 rejected: message 0 holds half a character",
        LAX,
    ),
    Case(
        "F01",
        "ShareGPT",
        "no column messages",
        _laid_out("jsonl", "ShareGPT"),
        "12 + 4 rows (ShareGPT: conversations → messages); not used: column id",
    ),
    Case(
        "F01",
        "prompt and completion",
        "no column messages",
        _laid_out("jsonl", "prompt/completion"),
        "12 + 4 rows (prompts and completions: prompt, completion → messages)",
    ),
    Case(
        "F01",
        "instruction, input, output",
        "no column messages",
        _laid_out("csv", "instruction/input/output"),
        "12 + 4 rows (instructions: instruction, input, output → messages)",
    ),
    Case(
        "F01",
        "question and answer",
        "no column messages",
        _laid_out("parquet", "question/answer"),
        "12 + 4 rows",
    ),
    Case(
        "F01",
        "lists of turns",
        "no column messages",
        _laid_out("json array", "list of turns"),
        "12 + 4 rows (plain turns: dialog → messages)",
    ),
    Case(
        "F01",
        "a shape that is not known",
        "no column messages",
        _unknown,
        'Their columns: title, body. The first row: {"title": "a", "body": "bbb',
    ),
    Case("F13", "every chat opens with Hi", "refused: all leaks", _greetings, "10 + 4 rows"),
    Case(
        "F13",
        "a conversation in both splits",
        "judged by its prompt",
        _leaked,
        "10 + 4 rows (messages); 1 rejected: the same conversation is in an earlier split",
        LAX,
    ),
    Case("F05", "names with [ ] ? *", "no data files", _laid_out("names with [ ] ? *"), "12 + 4 rows"),
    Case("F06", "a save_to_disk folder", "no split 'train'", _laid_out("save_to_disk"), "12 + 4 rows"),
    Case(
        "F07",
        "a clone with dataset_infos.json",
        "several kinds of files",
        _laid_out("clone of a hub repository"),
        "12 + 4 rows",
    ),
    Case(
        "F07", "a clone whose files Git LFS has not fetched", "no readable parquet", _pointer, "git lfs pull"
    ),
    Case(
        "F07",
        "one split in two formats",
        "several kinds of files",
        _two_kinds,
        "The split train of {in} has files of several kinds (json, parquet). Name one kind by a pattern",
    ),
    Case(
        "F08",
        "a folder a split, hashes for names",
        "no split 'train'",
        _laid_out("folder a split, hashes"),
        "12 + 4 rows",
    ),
    Case("F08", "Spark's parts", "no split 'train'", _laid_out("Spark's parts"), "12 + 4 rows"),
    Case("F09", "a JSON array in .jsonl", "every row bad", _laid_out("json array in .jsonl"), "12 + 4 rows"),
    Case(
        "F09",
        "a list that is not the data comes first",
        "every row bad",
        _laid_out("object that holds the list"),
        "not used: train.json: authors",
    ),
    Case(
        "F09",
        "a list of lists",
        "no JSON object",
        _laid_out("list of lists"),
        "12 + 4 rows (messages: each row a list",
    ),
    Case(
        "F14",
        "messages as JSON text (parquet)",
        "not a list",
        _laid_out("parquet", "messages, JSON text"),
        "12 + 4 rows",
    ),
    Case(
        "F14",
        "messages as JSON text (jsonl)",
        "not a list",
        _laid_out("jsonl", "messages, JSON text"),
        "12 + 4 rows",
    ),
    Case(
        "–", "several configurations", "'Name a local path'", _subsets, "Set data.subset to one of: en, de."
    ),
    Case("–", "one of several configurations", "not known", _subsets, "10 + 4 rows", {"subset": "de"}),
    Case("–", "one file is all there is", "no split 'train_sft'", _laid_out("one file"), "12 + 2 + 2 rows"),
    Case(
        "–",
        "a row with surplus cells (csv)",
        "cells dropped, silently",
        _surplus_cells,
        "1 rejected: 3 cells where the header has 2",
        LAX,
    ),
    Case(
        "F04i",
        "parts 1 and 2 of 3, named otherwise",
        "the rest, silently",
        _parts_of,
        "2 of 3 files of train",
    ),
    Case(
        "F08",
        "names that may mean splits",
        "all in one, silently",
        _unclear_names,
        "refused: {in} has several splits that may be meant for train: supporttests1, supporttraining1.",
    ),
    Case(
        "F03",
        "a column without a name (pandas' index)",
        "not known",
        _unnamed_column,
        "8 + 1 + 1 rows (prompts and completions: prompt, response → messages); not used: column (without",
    ),
    Case(
        "F11",
        "an answer that is a number",
        "not known",
        _numbered,
        "8 of 8 rows of all are rejected (100.0%, more than 1%): row 0: answer is not text",
    ),
    Case(
        "F01",
        "a role that nobody knows",
        "no remedy",
        _lines({"messages": [{"role": "Orakel", "content": "x"}]}),
        "or say who it is: data.roles={NAME: assistant}",
    ),
    Case(
        "F04j",
        "a web page for data",
        "'cannot be read'",
        _file("train.json", b"<!DOCTYPE html>\n<html>"),
        "is a web page",
    ),
    Case("F04", "a workbook", "'damaged'", _file("all.xlsx", b"PK\x03\x04"), "Save it as CSV in UTF-8."),
    Case("F04", "an archive of files", "no remedy", _file("all.tar.gz", gzip.compress(b"x")), "Unpack it."),
    Case(
        "F04j",
        "letters of an older Windows",
        "OLD-ENCODING",
        _file("all.csv", "prompt,response\nü,ß\n".encode("cp1252")),
        "iconv -f CP1252",
    ),
    Case("–", "a gzip file that is cut off", "'not UTF-8'", _cut_off, "is cut off or damaged"),
]


def main() -> None:
    print(f"{'case':6}{'what':46}{'at bb53d89':26}now")
    for at, case in enumerate(CASES):
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / str(at)
            now = outcome(case, folder).replace(str(folder / "in"), "…")
        right = "" if case.now.replace("{in}", "…") in now else "  << WRONG"
        print(f"{case.id:6}{case.what:46}{case.before:26}{now[:150]}{right}")


if __name__ == "__main__":
    main()
