"""The page in Chromium: from the link that `up` prints to a job's end, at every width, light and dark."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from azureml_local import switch
from tests.support import browser
from tests.support.waiting import PATIENCE

TRAINING = """
import sys, time, pathlib, mlflow

for step in range(5):
    mlflow.log_metric("loss", 3.0 - step / 2, step=step)
    print(f"step {step}", flush=True)
mlflow.log_metric("eval_loss", 1.5, step=4)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.05)
print("<b>trained</b>", flush=True)
"""

pytestmark = pytest.mark.slow


@contextmanager
def _up(state: Path) -> Iterator[str]:
    """A server in the foreground; gives the link to the page that it prints."""
    command = [sys.executable, "-m", "azureml_local", "up", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            printed = "".join(process.stdout.readline() for _ in range(3))
            link = re.search(r"^The page: (https://\S+)$", printed, re.MULTILINE)
            assert link, printed
            yield link[1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The link to the page of a workspace of this module's own, to which the SDK is led."""
    state = tmp_path_factory.mktemp("page")
    with _up(state) as link, pytest.MonkeyPatch.context() as patch:
        for name, value in switch.environment(state).items():
            patch.setenv(name, value)
        yield link


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as chromium:
        yield chromium


def _submit(folder: Path) -> tuple[Any, Path]:
    """A pipeline of two steps, and the file that lets the second one end."""
    from azure.ai.ml import Input, MLClient, Output, command, dsl
    from azure.ai.ml.entities import AmlCompute
    from azure.identity import DefaultAzureCredential

    client = MLClient(
        DefaultAzureCredential(),
        os.environ["AZURE_SUBSCRIPTION_ID"],
        os.environ["AZURE_RESOURCE_GROUP"],
        os.environ["AZUREML_WORKSPACE_NAME"],
    )
    client.compute.begin_create_or_update(AmlCompute(name="nodes", size="Standard_DS3_v2")).result()
    go = folder / "go"
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_text(TRAINING)
    environment = "azureml://registries/azureml/environments/any/versions/1"
    prepare = command(
        command="echo data > ${{outputs.data}}/rows",
        environment=environment,
        outputs={"data": Output(type="uri_folder")},
    )
    train = command(
        code=str(folder / "code"),
        command=f"python train.py {go} ${{{{inputs.data}}}}",
        environment=environment,
        inputs={"data": Input(type="uri_folder")},
    )

    @dsl.pipeline(compute="nodes", display_name="A chat model")  # type: ignore[untyped-decorator]
    def chain() -> None:
        first = prepare()
        first.name = "prepare"
        train(data=first.outputs.data).name = "train"

    return client.jobs.create_or_update(chain(), experiment_name="page"), go


def test_a_browser_follows_a_job_from_the_printed_link_to_its_end(
    link: str, chromium: Any, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE * 1000)
    page = chromium.new_page(ignore_https_errors=True)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)

    page.goto(link)
    assert "secret" not in page.url
    expect(page.locator("main")).to_contain_text("There are no jobs yet")
    job, go = _submit(tmp_path)
    page.get_by_role("link", name="A chat model").click(timeout=PATIENCE * 1000)  # the list follows as well

    expect(page.locator("#state")).to_have_text("Running")
    expect(page.locator(".node")).to_have_count(2)
    expect(page.locator("#log .log")).to_contain_text("step 4")
    expect(page.locator("#curve .legend")).to_contain_text("eval_loss 1.5")
    page.evaluate("window.same = true")
    go.touch()
    expect(page.locator("#state")).to_have_text("Completed")
    expect(page.locator("#log .log")).to_contain_text("<b>trained</b>")
    curve = page.locator("#curve .line path").first
    assert len(re.findall(r"[ML]", curve.get_attribute("d"))) == 5, "one point a step"
    assert curve.bounding_box()["height"] > 50
    assert page.evaluate("window.same") is True, "the page was loaded anew instead of followed"

    page.locator(".node").first.click()
    expect(page.locator("#log h2")).to_have_text("Log of prepare")
    page.goto(job.studio_url)
    expect(page.locator("h1")).to_have_text("A chat model")
    page.context.close()
    assert problems == []


def test_the_studio_link_asks_a_stranger_to_sign_in_and_then_leads_on(link: str, chromium: Any) -> None:
    address, secret = link.split("/?secret=")
    page = chromium.new_page(ignore_https_errors=True)
    page.goto(f"{address}/ledger")
    page.get_by_label("Secret").fill("a guess")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").inner_text() == "That is not the secret of this workspace."
    page.get_by_label("Secret").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/ledger")
    page.context.close()


def test_nothing_is_wider_than_the_window_and_the_colours_follow_the_reader(link: str, chromium: Any) -> None:
    page = chromium.new_page(ignore_https_errors=True)
    page.goto(link)
    for section in ("Jobs", "Models", "Endpoints", "Ledger"):
        page.get_by_role("link", name=section, exact=True).click()
        assert page.locator("h1").inner_text() == section
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), section
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            red = int(re.findall(r"\d+", paper)[0])
            assert red > 200 if scheme == "light" else red < 60
    page.context.close()
