"""The project's deployments: made without a question, again without a change, and in Chromium.

Of Prefect's own pages: the form is filled in and submitted, and a run's artifacts are looked at.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import PrefectHTTPStatusError

from flows.run.config import load
from flows.run.parameters import config_in
from flows.run.report import RunReport
from tests.conftest import LocalServer, know_the_cloud, poll_often
from tests.support import browser
from tests.support.checkout import ROOT
from tests.support.deployed_runs import DEPLOYMENT, artifacts, deployment_id, read, runs_of
from tests.support.prefect_server import PrefectServer
from tests.support.tiny_recipe import tiny_config
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

NAMES = [each["name"] for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]]
# True once a picture has been loaded and is of a size that one can see.
SHOWN = "image => image.complete && image.naturalWidth > 300 && image.clientWidth > 300"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The project as git would hand it out, somewhere else."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    folder = tmp_path / "clone"
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def page(report: RunReport) -> Iterator[Any]:
    """A page that may not leave this machine; an error in it fails the test that meets it.

    The run comes first: it would take the browser's event loop, which is this thread's, for its own.
    """
    with browser.opened() as chromium:
        page = chromium.new_page(viewport={"width": 1360, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        page.route(lambda address: not address.startswith("http://127.0.0.1"), lambda route: route.abort())
        yield page


@pytest.fixture(scope="module")
def report(deployed: PrefectServer, server: LocalServer, tiny: str, tmp_path_factory: Any) -> RunReport:
    """The report of a run that has completed on the server, for who has a browser to look at it."""
    browser.needed()
    from flows.finetune import finetune

    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        know_the_cloud(server.environment["AZUREML_CURRENT_CLOUD"])
        poll_often(patch)
        return finetune(tiny_config(tmp_path_factory.mktemp("browser") / "data", "data.train.take=35"))


def test_everything_is_deployed_again_from_a_fresh_clone(deployed: PrefectServer, clone: Path) -> None:
    first = deployments(deployed)
    assert set(first) >= set(NAMES)

    # As a person runs it: on a terminal, where every question that Prefect has would be asked.
    assert on_a_terminal(["prefect", "deploy", "--all"], deployed, clone) == 0
    again = deployments(deployed)
    assert {name: each.id for name, each in again.items()} == {name: each.id for name, each in first.items()}

    for deployment in map(again.__getitem__, NAMES):
        (pull,) = deployment.pull_steps or []
        assert pull == {"prefect.deployments.steps.set_working_directory": {"directory": str(clone)}}
        assert deployment.enforce_parameter_schema
        assert deployment.global_concurrency_limit is not None
    assert config_in(again["local"].parameters) == load("local")
    assert config_in(again["weekly"].parameters) == load("phi-4-ultrachat")
    (weekly,) = again["weekly"].schedules
    assert not weekly.active
    assert weekly.schedule.timezone == "Europe/Berlin"  # type: ignore[union-attr]
    refuses_by_the_forms_schema(deployed, again["local"])


def test_the_deployments_are_listed(page: Any, deployed: PrefectServer) -> None:
    page.goto(f"{deployed.url}/v2/deployments")
    for name in ("weekly", "ad-hoc", "local", "sweep", "reap", "watcher", "history"):
        page.get_by_role("link", name=name, exact=True).first.wait_for()


def test_the_form_is_short_and_takes_what_is_filled_in(page: Any, deployed: PrefectServer) -> None:
    """Four screens at most until a section is opened, and the fields that people change on the first."""
    open_form(page, deployed)
    assert page.get_by_label("Budget").bounding_box()["y"] < 900
    assert page.get_by_role("button", name="Submit").bounding_box()["y"] < 4 * 900
    assert page.get_by_label("Instance Count").count() == 0
    page.get_by_role("tab", name="Deploy").click()
    page.get_by_label("Instance Count").wait_for()

    assert page.get_by_label("Select recipe").inner_text() == "local"  # the deployment's
    page.get_by_label("Share of the training data").fill("10%")
    page.get_by_role("tab", name="Invoke").click()
    page.get_by_label("Max New Tokens").fill("40")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("scheduled to start").wait_for()
    (run,) = until(lambda: runs_of(deployed, DEPLOYMENT), "the run is not there")
    # Nothing else: what nobody has touched stays as in the recipe.
    given = {name: value for name, value in read(deployed, run).parameters.items() if value is not None}
    assert given == {
        "recipe": "local",
        "settings": {"share": "10%"},
        "invoke": {"max_new_tokens": 40},
    }


def test_the_form_refuses_a_wrong_value_and_says_which(page: Any, deployed: PrefectServer) -> None:
    before = runs_of(deployed, DEPLOYMENT)
    open_form(page, deployed)
    count = page.get_by_label("Epochs")
    count.fill("0")
    page.get_by_role("button", name="Submit").click()
    assert count.evaluate("field => field.validationMessage") == "Value must be greater than or equal to 1."
    count.fill("1")
    page.get_by_label("Share of the training data").fill("a few")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("'a few' does not match").first.wait_for()
    assert runs_of(deployed, DEPLOYMENT) == before


def test_a_run_shows_its_outcome_and_its_artifacts(
    page: Any, deployed: PrefectServer, report: RunReport
) -> None:
    page.goto(f"{deployed.url}/v2/runs/flow-run/{report.run}?tab=Artifacts")
    page.get_by_text(read(deployed, UUID(report.run)).name).first.wait_for()
    page.get_by_text("Completed").first.wait_for()
    for key in artifacts(deployed, UUID(report.run)):
        page.get_by_text(key, exact=True).first.wait_for()


def test_the_artifacts_page_shows_a_keys_history(
    page: Any, deployed: PrefectServer, report: RunReport
) -> None:
    page.goto(f"{deployed.url}/v2/artifacts/key/finetune-summary")
    page.get_by_text("Proved, endpoint deleted").first.wait_for()


def test_the_card_shows_the_curve_and_opens_its_details(
    page: Any, deployed: PrefectServer, report: RunReport
) -> None:
    found = artifacts(deployed, UUID(report.run))["finetune-summary"]  # the first of all may be another run's
    page.goto(f"{deployed.url}/v2/artifacts/artifact/{found.id}")
    picture = page.locator("img[src^='data:image/png']").first
    picture.wait_for()
    until(lambda: picture.evaluate(SHOWN), "the picture is not shown")
    assert "base64" not in page.inner_text("body")  # neither in the page nor beside it
    stages = page.get_by_text("How long each stage took")
    seconds = page.get_by_role("columnheader", name="seconds")
    assert not seconds.is_visible()
    stages.click()
    seconds.wait_for()


def open_form(page: Any, server: PrefectServer) -> None:
    page.goto(f"{server.url}/v2/deployments/deployment/{deployment_id(server, DEPLOYMENT)}/run")
    page.get_by_label("Dataset").wait_for()


def refuses_by_the_forms_schema(server: PrefectServer, deployment: DeploymentResponse) -> None:
    """The server itself says what is wrong with a parameter, and makes no run."""
    before = runs_of(server, "finetune/local")
    with server.client() as client, pytest.raises(PrefectHTTPStatusError, match="409") as error:
        client.create_flow_run_from_deployment(deployment.id, parameters={"deploy": {"instance_count": 0}})
    assert "0 is less than the minimum of 1" in error.value.response.json()["detail"]
    assert runs_of(server, "finetune/local") == before


def deployments(server: PrefectServer) -> dict[str, DeploymentResponse]:
    with server.client() as client:
        return {deployment.name: deployment for deployment in client.read_deployments()}


def on_a_terminal(command: list[str], server: PrefectServer, cwd: Path) -> int:
    """The exit status of a command whose terminal nobody types at; a question would never be answered."""
    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            command, cwd=cwd, env=server.environment | {"TERM": "xterm"}, stdin=its, stdout=its, stderr=its
        )
        os.close(its)
        drain(ours)
        return process.wait(PATIENCE)
    finally:
        os.close(ours)


def drain(terminal: int) -> None:
    """Read until the other side is closed: Linux says so with an error."""
    while True:
        try:
            if not os.read(terminal, 65536):
                return
        except OSError:
            return
