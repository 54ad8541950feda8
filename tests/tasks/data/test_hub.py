"""Datasets of the hub, through the hub's own libraries, at a loopback server with its routes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.azure.failure import Cause
from tests.support.hub_server import COMMIT, GATED, REPOSITORY, HubServer, serving_hub
from tests.tasks.data.conversations import read_lines, write_parquet

Ask = Callable[..., dict[str, Any]]

CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train_sft, path: data/train_sft-*}
  - {split: test_sft, path: data/test_sft-*}
---
# Chats
"""

# The libraries take the hub's address from the environment when they are imported: a process of its own.
PROCESS = """
import json, sys
from tasks.data.prepare import prepare
from tasks.data.section import Data
from tasks.azure.failure import Failure
for line in sys.stdin:
    try:
        answer = prepare(Data.model_validate_json(line)).model_dump(mode="json")
    except Failure as failure:
        answer = {"failure": str(failure), "cause": failure.cause}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A hub with one dataset, as large in its row groups as it is small in its footers."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "README.md").write_text(CARD)
    (folder / "data").mkdir()
    write_parquet(folder / "data", train=600, test=200, group=50)
    with serving_hub(folder) as server:
        yield server


@pytest.fixture(scope="module")
def ask(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Prepare a section of the configuration, in a process to which that hub is the hub."""
    with _asking(hub.url, tmp_path_factory.mktemp("home")) as asking:
        yield asking


@contextmanager
def _asking(endpoint: str, home: Path) -> Iterator[Ask]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", PROCESS],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout

        def asking(**fields: Any) -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            section = {"dataset": REPOSITORY, "directory": str(home / "prepared"), **fields}
            process.stdin.write(json.dumps(section) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer

        yield asking
        process.stdin.close()


@pytest.mark.slow
def test_a_share_is_read_by_ranges_at_the_commit_of_the_revision(ask: Ask, hub: HubServer) -> None:
    hub.bytes = 0
    found = ask(train={"take": "5%"}, test={"take": "5%"})
    assert found["source"] == REPOSITORY
    assert found["revision"] == COMMIT
    assert [one["prompt_id"] for one in read_lines(Path(found["train"]["path"]))] == [
        f"train_sft-{n}" for n in range(30)
    ]
    assert found["test"]["rows"] == 10
    assert hub.bytes == found["bytes_read"]
    # Two of sixteen row groups without their noise, and the footers: nothing of it is 4 KB a row.
    assert hub.bytes < 800 * 4000 / 5


@pytest.mark.slow
def test_the_same_request_reads_nothing_the_second_time(ask: Ask, hub: HubServer) -> None:
    ask(revision="v1")
    hub.bytes = 0
    assert ask(revision="v1")["reused"]
    assert hub.bytes == 0


def test_an_unknown_split_is_answered_with_those_there_are(ask: Ask) -> None:
    answer = ask(train={"name": "train_gen", "take": "5%"})
    assert answer["cause"] == Cause.NOT_FOUND
    assert "test_sft, train_sft" in answer["failure"]


@pytest.mark.parametrize(
    ("fields", "cause", "what", "fix"),
    [
        ({"dataset": "someone/nothing"}, Cause.NOT_FOUND, "someone/nothing", "dataset: sample"),
        ({"dataset": "no such name!"}, Cause.NOT_FOUND, "no such name!", "dataset: sample"),
        ({"dataset": GATED}, Cause.PERMISSION, GATED, "HF_TOKEN"),
        ({"revision": "v9"}, Cause.NOT_FOUND, "revision v9", "data.revision"),
        ({"subset": "none"}, Cause.CONFIGURATION, "configuration 'none'", "data.subset to one of: default."),
    ],
)
def test_what_the_hub_has_not_is_said_in_one_line(
    ask: Ask, fields: dict[str, Any], cause: Cause, what: str, fix: str
) -> None:
    found = ask(**fields)
    answer = found["failure"]
    assert found["cause"] == cause
    assert what in answer
    assert fix in answer
    assert "\n" not in answer


@pytest.mark.slow
def test_without_a_network_the_way_on_is_said(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with _asking(f"http://127.0.0.1:{closed.getsockname()[1]}", tmp_path) as ask:
            found = ask()
    answer = found["failure"]
    assert found["cause"] == Cause.UNREACHABLE
    assert "dataset: sample" in answer
    assert "\n" not in answer
