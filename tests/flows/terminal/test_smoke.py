"""`finetune smoke` as a command: recordings compared, refusals in a line, Ctrl-C in the midst of a job."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.terminal.cli import app
from tasks.recording.exchange import Exchange, Recording
from tests.conftest import LocalServer
from tests.support import ours
from tests.support.flow_process import once
from tests.support.fork_server import ForkServer


def finetune(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["smoke", *arguments])


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    exchange = Exchange(
        step="endpoint", method="PUT", service="management", path="/x", status=201, shape={"a": "text"}
    )
    path = tmp_path / "there.json"
    Recording(made="2026-11-26", by={}, checks=(), exchanges=(exchange,)).write(path, ())
    return path


def test_a_recording_is_compared_with_another_without_a_run(recorded: Path, tmp_path: Path) -> None:
    said = finetune("--compare", str(recorded), "--with", str(recorded))
    assert (said.exit_code, said.stdout) == (0, "0 differences.\n")
    other = tmp_path / "here.json"
    other.write_text(recorded.read_text().replace('"a"', '"b"'))
    said = finetune("--compare", str(recorded), "--with", str(other))
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [
        "PUT management /x",
        "    shape a: yes in the recording, no here",
        "    shape b: no in the recording, yes here",
        "2 differences.",
    ]
    said = finetune("--compare", str(recorded), "--with", str(other), "--json")
    assert [each["what"] for each in json.loads(said.stdout)["differences"]] == ["a", "b"]


@pytest.mark.slow
def test_what_is_wrong_is_one_line(recorded: Path, tmp_path: Path) -> None:
    for arguments, line in (
        (["--compare", str(tmp_path / "none.json")], "is no recording of `finetune smoke`"),
        (["--where", "local", "--recipe", "nowhere"], "There is no recipe 'nowhere'"),
        (["--where", "local", "--identity", "mine"], "is neither 'system' nor the resource id"),
    ):
        said = finetune(*arguments)
        assert (said.exit_code, said.stdout) == (1, "")
        (told,) = said.stderr.splitlines()
        assert told.startswith("Error: ")
        assert line in told
    assert finetune("--with", str(recorded)).exit_code == 2


def test_where_the_recording_could_not_be_written_nothing_is_made(tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "none" / "x.json"):
        said = finetune("--out", str(out))
        assert (said.exit_code, said.stdout) == (1, "")
        assert "--out FILE" in said.stderr


def test_a_smoke_that_is_too_expensive_makes_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    said = finetune("--max-usd", "0.1", "--out", str(tmp_path / "x.json"))
    assert said.exit_code == 1
    assert "--max-usd" in said.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_deletes_everything(
    fork_server: ForkServer, environment: dict[str, str], server: LocalServer, tmp_path: Path
) -> None:
    command = ["flows.terminal.cli", "smoke", "--identity", "system", "--out", str(tmp_path / "x.json")]
    out, err = tmp_path / "out", tmp_path / "err"
    with server.as_owner():  # to make components takes more than a run is allowed
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = fork_server.start(command, os.environ, out=stdout, err=stderr)

        def training() -> bool:
            return any(job.name.startswith("smoke-") and job.state == "Running" for job in ours.jobs())

        once(process, training, err.read_text)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 130, err.read_text()
    assert "Traceback" not in err.read_text()
    assert "Everything is deleted." in out.read_text()
    assert [row for row in server.admin("ledger")["rows"] if row["running"]] == []
    assert "smoke-" not in (tmp_path / "x.json").read_text()
