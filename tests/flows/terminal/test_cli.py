"""The command line as a process: what it imports, what it prints where, how it ends, what Ctrl-C leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.terminal.cli import app
from flows.terminal.recipes import recipes
from tests.conftest import LocalServer
from tests.support import ours
from tests.support.checkout import ROOT
from tests.support.flow_process import once, processes
from tests.support.fork_server import ForkServer
from tests.support.held_calls import held
from tests.support.imports import HEAVY, imported, packages
from tests.support.prefect_server import PrefectServer, migrated
from tests.support.relay import relayed
from tests.support.tiny_recipe import RECIPE
from tests.support.waiting import PATIENCE, until

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command line in a process group of its own, as a shell does."""
    started: list[subprocess.Popen[str]] = []
    home = migrated(tmp_path / "prefect")

    def begin(*arguments: str, python: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *python, "-m", "flows.terminal.cli", *arguments],
            cwd=ROOT,
            env={**_without_prefect(), "PREFECT_HOME": str(home), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code, and what was printed on stdout and stderr."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def tiny_run(tmp_path: Path, *changes: str) -> list[str]:
    sets = [f"--set={change}" for change in (f"data.directory={tmp_path / 'data'}", *changes)]
    return ["run", str(RECIPE), *sets]


@pytest.mark.parametrize(
    "arguments",
    [[], *([name] for name in ("run", "history", "ps", "logs", "cancel", "reap", "smoke", "doctor"))],
)
def test_help_imports_nothing_heavy(start: Start, arguments: list[str]) -> None:
    code, out, err = finished(start(*arguments, "--help", python=("-X", "importtime")))
    assert code == 0
    assert "Usage: " in out
    own = {"pydantic", "asyncio"} if not arguments else set()  # typer checks the options of some by pydantic
    assert packages(err) & (HEAVY | {"numpy"} | own) == set()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "nowhere"], "Error: There is no recipe 'nowhere'. Name a YAML file, or one of: "),
        (
            ["run", "--set", "deploy.instances=2"],
            "deploy.instances: no such field, did you mean deploy.instance_",
        ),
        (["run", "--set", "wait.poll_seconds=soon"], "The configuration is wrong: wait.poll_seconds: "),
        (["run", "--set", "fresh"], "Invalid --set 'fresh': expected section.field=value."),
        (["run", "--set", "base=Phi-4"], "The configuration is wrong: base: "),
    ],
)
def test_a_wrong_configuration_is_one_line_before_anything_is_started(
    start: Start, arguments: list[str], line: str
) -> None:
    code, out, err = finished(start(*arguments, python=("-X", "importtime")))
    assert (code, out) == (1, "")
    (said,) = [each for each in err.splitlines() if not each.startswith("import time:")]
    assert said.startswith("Error: ")
    assert line in said
    assert not {"prefect.server.api.server", "azureml_local.switch"} & imported(err)


def test_a_wrong_option_is_reported_with_the_usage(start: Start) -> None:
    code, out, err = finished(start("run", "--frsh"))
    assert (code, out) == (2, "")
    assert "No such option: --frsh" in err


def test_it_has_a_version_and_completes_the_names_of_recipes() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.stdout) == (0, f"finetune {version('azureml-finetune')}\n")
    assert recipes("phi") == ["phi-3-mini-ultrachat", "phi-4-ultrachat"]


@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_error(
    fork_server: ForkServer, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out, (tmp_path / "err").open("wb") as err:
        command = ("flows.terminal.cli", "data", "local", "--json")
        process = fork_server.start(command, prefect_server.environment, out=out, err=err)
    assert process.wait() == 1
    assert (tmp_path / "err").read_text() == ""


@pytest.mark.slow
@pytest.mark.usefixtures("environment", "tiny")
def test_a_failure_is_reported_and_ends_with_1(
    fork_server: ForkServer, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    arguments = tiny_run(tmp_path, "deploy.instance_type=Standard_NC6s_v3")
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        command = ["flows.terminal.cli", *arguments, "--json"]
        run = fork_server.start(command, prefect_server.environment, out=out, err=err)
    assert run.wait() == 1
    assert (tmp_path / "out").read_text() == ""
    said = (tmp_path / "err").read_text()
    assert "Error: tiny-chat-base cannot be deployed on Standard_NC6s_v3." in said
    assert said.count("cannot be deployed on") == 3  # with the plan, and the line of its stage
    assert "Traceback" not in said


@pytest.mark.slow
def test_ctrl_c_cancels_the_job(
    start: Start, tiny: str, tmp_path: Path, ml_client: Any, server: LocalServer
) -> None:
    before = {job.name for job in ours.jobs()}
    lasting = ("data.train.take=13", "parameters.more.seconds=120")
    run = start(*tiny_run(tmp_path, *lasting))  # with a Prefect server of the run's own

    def training() -> Any:
        assert run.poll() is None, run.communicate()
        found = [job for job in ours.jobs() if job.name not in before and job.state == "Running"]
        return found[0] if found else None

    assert run.stderr is not None
    assert any(line.startswith("● train") for line in run.stderr)  # a job may run before that
    job = until(training)
    os.killpg(run.pid, signal.SIGINT)
    code, out, err = finished(run)
    assert (code, out) == (130, ""), err
    assert err.splitlines()[-1].startswith(f"Cancelled at train: job {job.name} cancelled; ")
    assert err.count("Cancelled") == 1
    assert "Traceback" not in err
    assert ml_client.jobs.get(job.name).status == "Canceled"
    assert running(server) == []


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_ctrl_c_deletes_the_endpoint(
    fork_server: ForkServer,
    prefect_server: PrefectServer,
    tiny: str,
    tmp_path: Path,
    ml_client: Any,
    server: LocalServer,
) -> None:
    with processes(fork_server, prefect_server, tmp_path) as started:
        with held(server, "PUT", "/**/onlineEndpoints/*/deployments/*") as deploying:
            run = started.command("data.train.take=12")
            once(run, deploying, lambda: started.said(run))
            assert len(ours.endpoints(ml_client)) == 1
            os.killpg(run.pid, signal.SIGINT)
        assert run.wait() == 130, started.said(run)
    assert ours.endpoints(ml_client) == []
    assert running(server) == []


@pytest.mark.slow
@pytest.mark.usefixtures("environment", "tiny")
def test_a_run_whose_prefect_server_goes_tells_what_became_of_it(
    fork_server: ForkServer,
    prefect_server: PrefectServer,
    tmp_path: Path,
    ml_client: Any,
    server: LocalServer,
) -> None:
    with (
        processes(fork_server, prefect_server, tmp_path) as started,
        relayed(prefect_server.port) as relay,
    ):
        address = f"http://127.0.0.1:{relay.port}/api"
        with held(server, "PUT", "/**/onlineEndpoints/*/deployments/*") as deploying:
            run = started.command(
                "data.train.take=14", PREFECT_API_URL=address, PREFECT_CLIENT_MAX_RETRIES="0"
            )
            once(run, deploying, lambda: started.said(run))
            relay.cut()
        assert run.wait() == 1, started.said(run)
        said = started.said(run)
    assert "recipe: completed" in said
    assert "deleted (404 at " in said.replace("\n", " ")
    assert f"Error: The Prefect server at {address} does not answer. " in said
    assert "EventsWorker" not in said
    assert ours.endpoints(ml_client) == []


def running(server: LocalServer) -> list[dict[str, Any]]:
    """What the workspace bills at this moment."""
    return [row for row in server.admin("ledger")["rows"] if row["running"]]


def _without_prefect() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
