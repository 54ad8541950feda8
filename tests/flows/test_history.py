"""The history against a real Prefect server: pages of runs, the flow and its artifacts, the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from prefect.states import Crashed, Running
from typer.testing import CliRunner

from flows.dashboard import reader
from flows.dashboard.page import page
from flows.dashboard.run import RunRecord
from flows.dashboard.selection import select
from flows.history import KEY, history
from flows.terminal.cli import app
from tasks.azure.failure import Cause
from tests.flows.conftest import MakeConfig
from tests.support.failures import fails
from tests.support.prefect_server import PrefectServer
from tests.support.seeding import seed
from tests.support.synthetic import runs

NUMBER = 450  # more than two of the server's pages
MARK = "history-"  # other tests run on the same server


@pytest.fixture(scope="module")
def seeded(prefect_server: PrefectServer) -> list[RunRecord]:
    """Runs that the server knows, the newest first; their recipes are those of no other test."""
    made = [run.model_copy(update={"recipe": MARK + run.recipe}) for run in runs(NUMBER, seed=11)]
    seed(str(PREFECT_API_DATABASE_CONNECTION_URL.value()), made)
    return made


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, prefect_server: PrefectServer) -> None:
    """The command line in this process, on the tests' server."""
    for name, value in prefect_server.environment.items():
        monkeypatch.setenv(name, value)


def _read(**filters: object) -> list[RunRecord]:
    found = asyncio.run(reader.read(select(**filters)))  # type: ignore[arg-type]
    return [run for run in found if "recipe" in filters or run.recipe.startswith(MARK)]


@pytest.mark.slow
def test_every_run_is_read_once_whatever_the_pages(seeded: list[RunRecord]) -> None:
    found = _read()
    assert [run.id for run in found] == [run.id for run in seeded]
    reported = [run for run in seeded if run.state != "crashed"]
    assert [run for run in found if run.state != "crashed"] == reported


@pytest.mark.slow
def test_runs_that_crashed_are_read_without_a_report(seeded: list[RunRecord]) -> None:
    crashed = _read(states=["crashed"])
    assert len(crashed) == sum(run.state == "crashed" for run in seeded) > 0
    assert {(run.cause, run.eval_loss, run.cost_usd) for run in crashed} == {("crashed", None, None)}
    assert all(run.base != "unknown" for run in crashed)
    assert "<svg" in page(crashed)


@pytest.mark.slow
def test_filters_and_limits_take_the_newest(seeded: list[RunRecord]) -> None:
    recipe = f"{MARK}mistral"
    wanted = [run.id for run in seeded if run.recipe == recipe and run.state == "completed"]
    assert [run.id for run in _read(recipe=recipe, states=["completed"])] == wanted
    assert [run.id for run in _read(recipe=recipe, states=["completed"], limit=3)] == wanted[:3]
    since = seeded[100].when.isoformat()
    assert [run.id for run in _read(since=since)] == [run.id for run in seeded[:101]]


@pytest.mark.slow
def test_a_filter_that_no_run_passes_names_those_there_are(seeded: list[RunRecord]) -> None:
    with fails(Cause.CONFIGURATION, "model 'gpt-5'", "Phi-4"):
        _read(model="gpt-5")


@pytest.mark.slow
def test_a_run_that_is_killed_is_told_by_its_tasks(prefect_server: PrefectServer) -> None:
    from prefect import flow, task

    recipe = "killed-of-history"  # not among those that were seeded

    @flow(name=reader.FLOW)
    def dummy(recipe: str) -> None: ...

    @task(name="train")
    def train() -> None: ...

    with get_client(sync_client=True) as client:
        run = client.create_flow_run(dummy, parameters={"recipe": recipe})
        client.set_flow_run_state(run.id, Running(), force=True)
        made = client.create_task_run(train, run.id, dynamic_key="0", name="train ft-1")
        client.set_task_run_state(made.id, Running(), force=True)
        client.set_flow_run_state(run.id, Crashed(message="The process was killed."), force=True)
    [found] = _read(recipe=recipe)
    assert (found.id, found.state, found.failed_stage) == (str(run.id), "crashed", "train")
    assert found.seconds_by_stage.keys() == {"train"}


@pytest.mark.slow
def test_the_flow_publishes_page_metrics_and_artifacts(seeded: list[RunRecord], tmp_path: Path) -> None:
    files = {"page_file": str(tmp_path / "history.html"), "metrics_file": str(tmp_path / "finetune.prom")}
    state = history(model="phi-4", return_state=True, **files)
    report = state.result()
    assert state.message == f"{report.runs:,} runs"
    assert "Phi-4" in Path(files["page_file"]).read_text()
    assert "finetune_runs{" in Path(files["metrics_file"]).read_text()
    artifacts = {artifact.key: artifact for artifact in _artifacts(state.state_details.flow_run_id)}
    charts = {f"{KEY}-{key}" for key in ("duration", "cost", "eval-loss", "failures")}
    assert artifacts.keys() == charts | {KEY, f"{KEY}-runs", f"{KEY}-page"}
    assert all(str(artifacts[key].data).startswith("data:image/svg+xml;base64,") for key in charts)
    table = json.loads(str(artifacts[f"{KEY}-runs"].data))
    assert len(table) == min(report.runs, 200)
    assert table[0]["model"].startswith("Phi-4")


@pytest.mark.slow
def test_the_flow_refuses_a_file_that_it_cannot_write(seeded: list[RunRecord]) -> None:
    with fails(Cause.CONFIGURATION, "/nowhere/history.html"):
        history(model="phi-4", page_file="/nowhere/history.html")


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_the_command_line_lists_writes_and_prints(seeded: list[RunRecord], tmp_path: Path) -> None:
    recipe = ["--recipe", f"{MARK}mistral"]
    wanted = [run.id for run in seeded if run.recipe == recipe[1]]
    printed = CliRunner().invoke(app, ["history", "--json", *recipe])
    assert [RunRecord.model_validate(run).id for run in json.loads(printed.stdout)] == wanted
    listed = CliRunner().invoke(app, ["history", *recipe, "--limit", "2"])
    assert len(listed.stdout.splitlines()) >= 3
    assert "eval loss" in listed.stdout
    html, metrics = tmp_path / "history.html", tmp_path / "finetune.prom"
    written = CliRunner().invoke(app, ["history", *recipe, "--html", str(html), "--metrics", str(metrics)])
    assert written.exit_code == 0
    assert written.stdout == ""
    assert str(html) in written.stderr
    assert wanted[-1] in html.read_text()
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--state", "done"], "Error: There is no state 'done'."),
        (["--recipe", "gone"], "Error: No run is of the recipe 'gone'. There are: "),
        (["--since", "soon"], "Error: 'soon' is no date and no duration."),
        (["--html", "/nowhere/x.html"], "Error: /nowhere/x.html cannot be written"),
    ],
)
def test_a_wrong_argument_is_one_line(seeded: list[RunRecord], arguments: list[str], line: str) -> None:
    result = CliRunner().invoke(app, ["history", *arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith(line)
    assert len(result.stderr.splitlines()) == 1


def test_a_server_out_of_reach_is_one_line(prefect_server: PrefectServer) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        fails(Cause.PREFECT, "PREFECT_API_URL"),
    ):
        asyncio.run(reader.read(select()))


@pytest.mark.slow
def test_a_run_of_the_whole_flow_is_in_the_history(prefect_server: PrefectServer, config: MakeConfig) -> None:
    from flows.dashboard import losses
    from flows.finetune import finetune

    recipe = "tiny-of-history"
    made = finetune(config(f"recipe={recipe}", "data.train.take=36"))
    [run] = _read(recipe=recipe)
    assert (run.id, run.state, run.trigger) == (made.run, "completed", "ad hoc")
    assert run.seconds_by_stage == made.seconds_by_stage
    assert {"data", "train", "register", "deploy", "invoke", "delete"} <= run.seconds_by_stage.keys()
    assert run.rows == made.data_rows
    assert run.deletion == made.deletion
    assert run.eval_loss == made.eval_loss is not None

    # What it reported is found in MLflow again, by the job's name or by the lease that the job carries.
    blank = run.model_copy(update={"eval_loss": None, "train_loss": None})
    lost = blank.model_copy(update={"job": None, "state": "crashed"})
    workspace = config().workspace
    for found in losses.completed([blank, lost], workspace):
        assert found.job == made.job
        assert found.eval_loss == pytest.approx(made.eval_loss)
    assert losses.completed([run], workspace) == [run]


def _artifacts(run: UUID | None) -> list[Artifact]:
    assert run is not None
    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        )
