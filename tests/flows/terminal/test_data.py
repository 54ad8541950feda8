"""`finetune data` as a process: what it prints where, how it ends, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.waiting import PATIENCE
from tests.tasks.data.layouts import LAYOUTS, SHAPES, chats


def finetune_data(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.terminal.cli", "data", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.slow
def test_any_data_is_looked_at_without_a_recipe(tmp_path: Path) -> None:
    shape = SHAPES["ShareGPT"]
    source = LAYOUTS["one file"](tmp_path, [shape(chat) for chat in chats(50)], [])
    before = sorted(tmp_path.rglob("*"))
    done = finetune_data(str(source), "--rows", "1", "--json", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [split["rows"] for split in found["splits"]] == [40, 5, 5]
    assert found["splits"][0]["recognised"] == "ShareGPT: conversations → messages"
    assert "blå" in found["splits"][0]["examples"][0]
    assert found["cost"] is None
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_fields_are_set_as_for_a_run(tmp_path: Path) -> None:
    source = LAYOUTS["one file"](tmp_path, [SHAPES["messages"](chat) for chat in chats(50)], [])
    done = finetune_data(str(source), "--set=data.cut.test=20", "--set=data.cut.validation=1")
    assert done.returncode == 0, done.stderr
    assert "29 of 50 rows" in done.stdout
    assert "A run would fail" not in done.stdout


@pytest.mark.slow
def test_what_is_neither_a_recipe_nor_data_is_one_line(tmp_path: Path) -> None:
    done = finetune_data("locale")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no recipe 'locale'" in done.stderr
    done = finetune_data(str(tmp_path / "none.jsonl"))
    assert done.returncode == 1
    assert "no such file or folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1
