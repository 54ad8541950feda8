"""The files that come out: whole, the same for the same request, and without bad rows."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.azure.failure import Cause
from tasks.data.row_filter import LEAK
from tasks.data.section import Data, Split
from tests.support.failures import fails
from tests.support.waiting import PATIENCE
from tests.tasks.data.conftest import Preparing
from tests.tasks.data.conversations import read_lines, row, rows, write_lines, write_parquet


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    folder = tmp_path / "lines"
    folder.mkdir()
    write_lines(folder / "train_sft.jsonl", rows(60))
    write_lines(folder / "test_sft.jsonl", rows(20, "test_sft"))
    return folder


def test_the_sample_comes_whole_and_clean(prepared: Preparing) -> None:
    found = prepared("sample")
    assert found.train.rows == len(read_lines(found.train.path)) >= 200
    assert found.train.quarantined == found.test.quarantined == 0
    assert found.train.sha256 == hashlib.sha256(found.train.path.read_bytes()).hexdigest()


def test_the_same_request_reads_nothing_the_second_time(lines: Path, prepared: Preparing) -> None:
    first = prepared(lines)
    os.chmod(lines / "train_sft.jsonl", 0o644)  # its content and time are the same
    before = first.train.path.stat().st_mtime_ns
    second = prepared(lines)
    assert second.reused
    assert second.bytes_read == 0
    assert second.train.path.stat().st_mtime_ns == before
    assert second.sha256 == first.sha256


def test_the_manifest_says_what_the_files_are(lines: Path, prepared: Preparing) -> None:
    found = prepared(lines, train={"name": "train_sft", "take": "10"}, rows="seeded", seed=7)
    manifest = json.loads((found.directory / "manifest.json").read_text())
    assert manifest["source"] == str(lines)
    assert manifest["seed"] == 7
    train = manifest["train"]
    assert (train["rows"], train["quarantined"]) == (10, 0)
    assert train["taken"] == "10 of 60 rows (10), drawn with the seed 7"
    content = Path(train["path"]).read_bytes()
    assert (train["bytes"], train["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_changed_source_is_read_again(lines: Path, prepared: Preparing) -> None:
    first = prepared(lines)
    write_lines(lines / "train_sft.jsonl", rows(61))
    second = prepared(lines)
    assert not second.reused
    assert second.train.rows == 61
    assert second.sha256 != first.sha256


def test_every_format_gives_the_same_bytes(lines: Path, tmp_path: Path, prepared: Preparing) -> None:
    parquet, array, table = (tmp_path / name for name in ("parquet", "json", "csv"))
    for folder in (parquet, array, table):
        folder.mkdir()
    write_parquet(parquet)
    for split, count in (("train_sft", 60), ("test_sft", 20)):
        made = rows(count, split)
        (array / f"{split}.json").write_text(json.dumps(made), encoding="utf-8")
        with (table / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, made[0])
            writer.writeheader()
            writer.writerows({**one, "messages": json.dumps(one["messages"])} for one in made)
    assert len({prepared(folder).sha256 for folder in (lines, parquet, array, table)}) == 1


def test_a_share_and_a_number_of_rows(lines: Path, prepared: Preparing) -> None:
    found = prepared(lines, train={"name": "train_sft", "take": "5%"}, test={"name": "test_sft", "take": 7})
    assert read_lines(found.train.path) == rows(3)
    assert read_lines(found.test.path) == rows(7, "test_sft")
    assert found.train.taken == "the first 3 of 60 rows (5%)"


def test_a_seeded_sample_is_the_same_again_and_other_for_another_seed(
    lines: Path, prepared: Preparing, tmp_path: Path
) -> None:
    ten = {"train": {"name": "train_sft", "take": "10"}, "rows": "seeded"}
    one = prepared(lines, **ten)
    again = prepared(lines, **ten, directory=tmp_path / "elsewhere")
    other = prepared(lines, **ten, seed=43)
    assert one.train.sha256 == again.train.sha256 != other.train.sha256
    assert "drawn with the seed 42" in one.train.taken


def test_bad_rows_are_set_aside_with_their_reason(lines: Path, prepared: Preparing) -> None:
    bad: list[Any] = rows(60)
    bad[3]["messages"][1]["content"] = " "
    bad[5] = bad[4]
    bad[7]["messages"] = bad[7]["messages"][:3]
    write_lines(lines / "train_sft.jsonl", bad)
    with (lines / "train_sft.jsonl").open("a") as file:
        file.write('{"messages": [\n["no object"]\n')
    write_lines(lines / "test_sft.jsonl", [*rows(20, "test_sft"), row(9)])
    found = prepared(lines, quarantine_limit=20)
    assert found.train.quarantine
    aside = {one["position"]: one["reason"] for one in read_lines(found.train.quarantine)}
    assert aside[3] == "message 1 is blank"
    assert aside[5] == "the same conversation stands there already"
    assert aside[7] == "the last message is not the assistant's"
    assert aside[60].startswith("no JSON")
    assert aside[61] == "the row is a list, and not an object as the others are"
    assert found.train.rows + found.train.quarantined == 62
    assert sum(found.train.findings.values()) == found.train.quarantined == 5
    assert found.test.rows == 20  # the row of the training split was left out
    assert found.test.quarantined == 1


def test_a_conversation_of_the_training_split_is_not_tested_on(lines: Path, prepared: Preparing) -> None:
    leaked = row(3) | {"prompt": "another", "prompt_id": "another"}
    leaked["messages"][0]["content"] += "\n "
    write_lines(lines / "test_sft.jsonl", [leaked, *rows(20, "test_sft")[1:]])
    found = prepared(lines, quarantine_limit=10)
    assert found.test.findings == {LEAK: 1}
    kept = prepared(lines, checks={"leaks": "warn"})
    assert (kept.test.rows, kept.test.findings, kept.test.warnings) == (20, {}, {LEAK: 1})
    assert prepared(lines, checks={"leaks": "off"}).test.warnings == {}


def test_a_common_first_question_is_no_leak(lines: Path, prepared: Preparing) -> None:
    for split, count in (("train_sft", 60), ("test_sft", 20)):
        made = rows(count, split)
        for one in made:
            one["prompt"] = one["messages"][0]["content"] = "Hi"
        write_lines(lines / f"{split}.jsonl", made)
    found = prepared(lines)
    assert (found.train.rows, found.test.rows) == (60, 20)
    assert found.test.findings == found.test.warnings == {}


def test_another_system_prompt_is_another_conversation(lines: Path, prepared: Preparing) -> None:
    chat = row(1)["messages"]
    made = [{"messages": [{"role": "system", "content": said}, *chat]} for said in ("Be short.", "Be long.")]
    write_lines(lines / "train_sft.jsonl", [*made, {"messages": chat}])
    assert prepared(lines).train.rows == 3


def test_too_many_bad_rows_fail_with_the_first_of_them(
    lines: Path, prepared: Preparing, output: Path
) -> None:
    write_lines(lines / "train_sft.jsonl", [*rows(50), *({"messages": []} for _ in range(10))])
    with fails(Cause.DATA, "10 of 60 rows of train_sft", "row 50") as failure:
        prepared(lines)
    kept = output.glob("*quarantine.jsonl")
    assert all(str(path) in str(failure.value) for path in kept)
    assert len(read_lines(next(output.glob("*quarantine.jsonl")))) == 10


def test_long_rows_are_bad_only_where_a_limit_is_set(lines: Path, prepared: Preparing) -> None:
    write_lines(lines / "train_sft.jsonl", [*rows(50), row(99, turns=40)])
    assert prepared(lines).train.rows == 51
    found = prepared(lines, max_tokens=200, quarantine_limit=10)
    assert found.train.findings == {"longer than 200 tokens, by estimate": 1}
    assert found.train.estimated


def test_columns_of_other_names_map(lines: Path, prepared: Preparing) -> None:
    renamed = [{"chat": one["messages"], "id": one["prompt_id"]} for one in rows(60)]
    write_lines(lines / "train_sft.jsonl", renamed)
    write_lines(
        lines / "test_sft.jsonl",
        [{"chat": one["messages"], "id": one["prompt_id"]} for one in rows(20, "test_sft")],
    )
    found = prepared(lines, columns={"messages": "chat", "prompt_id": "id"})
    assert read_lines(found.train.path) == rows(60)  # the prompt is the first question


@pytest.mark.slow
def test_a_run_killed_in_the_middle_leaves_nothing_that_counts(
    tmp_path: Path, prepared: Preparing, output: Path
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write_parquet(folder)
    script = (
        "import os, signal, sys; from tasks.data.prepare import prepare;"
        "from tasks.data.section import Data, Split\n"
        "def die(reading):\n    if reading.rows: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare(Data(dataset=sys.argv[1], directory=sys.argv[2], train=Split(name='train_sft', take='100%'),"
        "             test=Split(name='test_sft', take='100%')), die)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, folder, output],
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == -signal.SIGKILL
    found = prepared(folder)
    assert not found.reused
    assert read_lines(found.train.path) == rows(60)


def test_a_share_is_read_or_refused() -> None:
    assert Split(name="a", take="2.5 %").count(1000) == 25
    assert Split(name="a", take="1%").count(10) == 1
    assert Split(name="a", take="500").count(10) == 10
    for wrong, why in (("0%", "out of range"), ("101%", "out of range"), ("-3", "neither"), ("0", "one row")):
        with pytest.raises(ValueError, match=why):
            Split(name="a", take=wrong)


def test_the_default_is_the_tutorials() -> None:
    data = Data()
    assert data.dataset == "HuggingFaceH4/ultrachat_200k"
    assert (data.train.name, data.test.name, data.train.take) == ("train_sft", "test_sft", "5%")
