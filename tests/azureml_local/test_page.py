"""The page: who may see it, what it shows, that it escapes, and its drawings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from azureml_local.execution.component import Component
from azureml_local.execution.graph import Step, StepOutput
from azureml_local.page import comparison, curve, graph
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE, until

HOSTILE = "<img src=x onerror=alert(1)>"
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


@pytest.fixture
def secret(server: LocalServer) -> str:
    found: str = json.loads((server.state / "secrets.json").read_text())["admin"]
    return found


@pytest.fixture
def browser(server: LocalServer, secret: str) -> Iterator[requests.Session]:
    """A client that has opened the link which `up` prints."""
    with requests.Session() as session:
        session.verify, session.trust_env = server.environment["REQUESTS_CA_BUNDLE"], False
        answer = session.get(f"{server.url}/?secret={secret}", timeout=PATIENCE)
        assert (answer.status_code, answer.url) == (200, f"{server.url}/")
        yield session


@pytest.fixture
def cluster(ml_client: Any) -> str:
    from azure.ai.ml.entities import AmlCompute

    name = f"page-{uuid4().hex[:8]}"
    ml_client.compute.begin_create_or_update(
        AmlCompute(name=name, size="Standard_DS3_v2", max_instances=2)
    ).result()
    return name


def submit(client: Any, cluster: str, folder: Path, *, name: str = "A chat model") -> tuple[Any, Path]:
    """A pipeline of two steps, and the file that lets the second one end."""
    from azure.ai.ml import Input, Output, command, dsl

    go = folder / "go"
    (folder / "code").mkdir()
    (folder / "code" / "train.py").write_text(TRAINING)
    environment = "azureml://registries/azureml/environments/any/versions/1"
    prepare = command(
        name="prepare",
        command="echo data > ${{outputs.data}}/rows",
        environment=environment,
        outputs={"data": Output(type="uri_folder")},
    )
    train = command(
        name="train",
        code=str(folder / "code"),
        command=f"python train.py {go} ${{{{inputs.data}}}}",
        environment=environment,
        inputs={"data": Input(type="uri_folder")},
    )

    @dsl.pipeline(compute=cluster, display_name=name)  # type: ignore[untyped-decorator]
    def chain() -> None:
        first = prepare()
        train(data=first.outputs.data).name = "train"

    return client.jobs.create_or_update(chain(), experiment_name="page"), go


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/jobs/any",
        "/assets",
        "/models",
        "/endpoints",
        "/ledger",
        "/compare?job=a&job=b",
        "/?part=job_list",
    ],
)
def test_without_the_cookie_there_is_only_the_sign_in_form(server: LocalServer, path: str) -> None:
    bundle = server.environment["REQUESTS_CA_BUNDLE"]
    answer = requests.get(server.url + path, verify=bundle, timeout=PATIENCE)
    assert answer.status_code == 401
    assert 'name="secret"' in answer.text


def test_a_wrong_secret_buys_no_cookie(server: LocalServer) -> None:
    bundle = server.environment["REQUESTS_CA_BUNDLE"]
    for answer in (
        requests.get(f"{server.url}/?secret=guess", verify=bundle, timeout=PATIENCE),
        requests.post(f"{server.url}/sign-in", data=b"secret=%ff%00guess", verify=bundle, timeout=PATIENCE),
    ):
        assert answer.status_code == 401
        assert not answer.cookies
        assert "not the secret" in answer.text


@pytest.mark.parametrize(
    ("wanted", "location"),
    [("/jobs/a?step=b", "/jobs/a?step=b"), ("https://elsewhere", "/"), ("//elsewhere", "/"), ("/\\x", "/")],
)
def test_signing_in_leads_back_but_never_elsewhere(
    server: LocalServer, secret: str, wanted: str, location: str
) -> None:
    answer = requests.post(
        f"{server.url}/sign-in",
        data={"secret": secret, "next": wanted},
        allow_redirects=False,
        verify=server.environment["REQUESTS_CA_BUNDLE"],
        timeout=PATIENCE,
    )
    assert (answer.status_code, answer.headers["location"]) == (303, location)
    cookie = answer.headers["set-cookie"]
    assert secret not in cookie
    assert all(attribute in cookie for attribute in ("HttpOnly", "Secure", "SameSite=lax"))


def test_what_is_not_there_is_said_on_a_page(server: LocalServer, browser: requests.Session) -> None:
    answer = browser.get(f"{server.url}/jobs/{HOSTILE}", timeout=PATIENCE)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert HOSTILE not in answer.text
    assert browser.get(f"{server.url}/?part=nothing", timeout=PATIENCE).status_code == 404


def test_models_and_ledger_are_shown(server: LocalServer, browser: requests.Session) -> None:
    assert "SmolLM2-135M-Instruct" in browser.get(f"{server.url}/models", timeout=PATIENCE).text
    assert "in total" in browser.get(f"{server.url}/ledger", timeout=PATIENCE).text


@pytest.mark.slow
def test_everything_shown_is_escaped(
    server: LocalServer, browser: requests.Session, ml_client: Any, cluster: str, tmp_path: Path
) -> None:
    from azure.ai.ml.entities import Model

    job, go = submit(ml_client, cluster, tmp_path, name=HOSTILE)
    go.touch()
    until(lambda: ml_client.jobs.get(job.name).status == "Completed")
    (tmp_path / "weights").write_text("w")
    ml_client.models.create_or_update(
        Model(name=f"m-{uuid4().hex[:8]}", path=str(tmp_path / "weights"), tags={"by": HOSTILE})
    )
    pages = [
        browser.get(server.url + path, timeout=PATIENCE).text
        for path in ("/", f"/jobs/{job.name}", "/models")
    ]
    for page in pages:
        assert HOSTILE not in page
        assert "&lt;img src=x" in page
    assert "&lt;b&gt;trained&lt;/b&gt;" in pages[1]
    # What a job has made is on its page, with the zone of its times.
    assert re.search(r"Created</dt><dd>[\d-]+ [\d:]+ UTC", pages[1])
    assert "<h2>Artifacts</h2>" in pages[1]
    assert '<th scope="row">train.data</th>' in pages[1]
    assert "user_logs/std_log.txt" in pages[1]
    assert browser.get(f"{server.url}/jobs/{job.name}?part=details", timeout=PATIENCE).status_code == 200
    assert cluster in browser.get(f"{server.url}/assets", timeout=PATIENCE).text
    newest = browser.get(f"{server.url}/?most=1", timeout=PATIENCE).text
    assert newest.count('name="job"') == 1
    assert ('href="/?most=2"' in newest) == (len(list(ml_client.jobs.list(max_results=2))) > 1)
    _search_and_compare(f"{server.url}/jobs/{job.name}", browser, ml_client, job.name)


def _search_and_compare(address: str, browser: requests.Session, client: Any, name: str) -> None:
    found = browser.get(f"{address}?step=train&find=STEP+4", timeout=PATIENCE).text
    assert re.search(r'line-number">\d+</span> step 4\n', found)
    assert "step 3" not in found
    assert "1 line with" in found
    for wanted in (HOSTILE, "<b>trained"):
        found = browser.get(address, params={"step": "train", "find": wanted}, timeout=PATIENCE).text
        assert wanted not in found
        assert ("No line of the log" in found) == (wanted == HOSTILE)
    (train,) = [each.name for each in client.jobs.list(parent_job_name=name) if "train" in each.display_name]
    compare = address.rpartition("/jobs/")[0] + "/compare"
    found = browser.get(compare, params={"job": [name, train]}, timeout=PATIENCE).text
    rows = re.findall(r'<tr( class="differs")?><th scope="row">([^<]*)', found)
    differs = {row: bool(marked) for marked, row in rows}
    assert differs["train.data"], "given to a node of the pipeline alone"
    assert not differs["status"]
    assert not differs["eval_loss"]
    assert browser.get(compare, params={"job": name}, timeout=PATIENCE).status_code == 400


def test_a_job_is_cancelled_by_its_page_and_not_from_another_site(
    server: LocalServer, browser: requests.Session, ml_client: Any, cluster: str
) -> None:
    from azure.ai.ml import command

    image = "azureml://registries/azureml/environments/any/versions/1"
    job = ml_client.jobs.create_or_update(command(command="sleep 600", environment=image, compute=cluster))
    cancel = f"{server.url}/jobs/{job.name}/cancel"
    stranger = requests.post(cancel, verify=server.environment["REQUESTS_CA_BUNDLE"], timeout=PATIENCE)
    assert stranger.status_code == 401
    assert ml_client.jobs.get(job.name).status != "CancelRequested"
    answer = browser.post(cancel, timeout=PATIENCE)
    assert (answer.status_code, answer.url) == (200, f"{server.url}/jobs/{job.name}")
    until(lambda: ml_client.jobs.get(job.name).status == "Canceled")
    assert "Cancel the job" not in browser.get(answer.url, timeout=PATIENCE).text
    assert browser.post(f"{server.url}/jobs/nobody/cancel", timeout=PATIENCE).status_code == 404


@pytest.mark.slow
def test_an_endpoint_is_shown_with_its_traffic(
    server: LocalServer, browser: requests.Session, ml_client: Any, tmp_path: Path
) -> None:
    from azure.ai.ml.entities import (
        CodeConfiguration,
        Environment,
        ManagedOnlineDeployment,
        ManagedOnlineEndpoint,
    )

    (tmp_path / "score.py").write_text("def init(): ...\ndef run(raw): return 'ok'\n")
    name = f"page-{uuid4().hex[:8]}"
    endpoint = ManagedOnlineEndpoint(name=name, auth_mode="key")
    ml_client.online_endpoints.begin_create_or_update(endpoint).result()
    ml_client.online_deployments.begin_create_or_update(
        ManagedOnlineDeployment(
            name="blue",
            endpoint_name=name,
            code_configuration=CodeConfiguration(code=str(tmp_path), scoring_script="score.py"),
            environment=Environment(
                name="scoring", version="1", image="mcr.microsoft.com/azureml/minimal:latest"
            ),
            instance_type="Standard_DS3_v2",
            instance_count=1,
        )
    ).result()
    endpoint.traffic = {"blue": 100}
    ml_client.online_endpoints.begin_create_or_update(endpoint).result()
    text = browser.get(f"{server.url}/endpoints?part=endpoint_list", timeout=PATIENCE).text
    mine = text[text.index(name) :]
    assert ml_client.online_endpoints.get(name).scoring_uri in mine
    assert "blue" in mine
    assert "100 %" in mine
    ml_client.online_endpoints.begin_delete(name).wait()


def test_what_differs_between_two_jobs_stands_first() -> None:
    first, second = {"rate": "1", "batch": "4", "only": "x"}, {"rate": "2", "batch": "4"}
    assert comparison.rows(first, second) == [("only", "x", ""), ("rate", "1", "2"), ("batch", "4", "4")]
    assert [row.differs for row in comparison.rows(first, second)] == [True, True, False]


def step(path: str, *needs: str) -> Step:
    component = Component(id="", name="", version="", type="command", inputs={}, outputs={})
    return Step(path, path, component, {need: StepOutput(need, "out") for need in needs}, {})


def test_five_steps_in_a_row_fit_into_the_page() -> None:
    row = [step("a"), *(step(name, before) for before, name in ("ab", "bc", "cd", "de"))]
    assert graph.draw(row).width <= 1240 - 2 * 24  # its width in style.css, without the padding


def test_a_step_stands_right_of_what_it_needs() -> None:
    drawing = graph.draw([step("a"), step("b"), step("c", "a"), step("d", "c", "b")])
    x = {node.path: node.x for node in drawing.nodes}
    assert x["a"] == x["b"] < x["c"] < x["d"]
    assert len({(node.x, node.y) for node in drawing.nodes}) == 4
    assert len(drawing.edges) == 3
    assert all(node.x + graph.NODE_WIDTH <= drawing.width for node in drawing.nodes)


def test_an_edge_goes_around_the_boxes_between() -> None:
    drawing = graph.draw([step("a"), step("b", "a"), step("c", "a", "b")])
    a, b, c = drawing.nodes
    assert a.y == b.y == c.y
    around = drawing.edges[1]
    assert around.startswith(f"M {a.x + graph.NODE_WIDTH} {a.y + graph.NODE_HEIGHT // 2} ")
    assert around.endswith(f" {c.x} {c.y + graph.NODE_HEIGHT // 2}")
    below = b.y + graph.NODE_HEIGHT
    assert all(int(y) > below for y in re.findall(rf"{b.x} (\d+) H", around))
    assert drawing.height > below + graph.NODE_HEIGHT


def test_a_curve_keeps_within_its_picture_and_drops_what_is_not_finite() -> None:
    drawn = curve.draw({"loss": [(0, 4.0), (10, 2.0), (5, float("nan"))], "eval_loss": [(10, 3.0)]})
    assert drawn is not None
    assert [(line.name, line.last, len(line.dots)) for line in drawn.lines] == [
        ("loss", 2.0, 2),
        ("eval_loss", 3.0, 1),
    ]
    for line in drawn.lines:
        for x, y in line.dots:
            assert curve.LEFT <= x <= curve.WIDTH - curve.RIGHT
            assert curve.TOP <= y <= curve.HEIGHT - curve.BOTTOM
    assert [label.text for label in drawn.y_labels] == ["2", "2.5", "3", "3.5", "4"]


@pytest.mark.parametrize("points", [[(0, 1.0)], [(3, 0.0), (3, 0.0)], [(0, -1e9), (1, 1e-9)]])
def test_a_curve_can_be_drawn_of_any_finite_values(points: list[tuple[float, float]]) -> None:
    drawn = curve.draw({"loss": points})
    assert drawn is not None
    assert 2 <= len(drawn.y_labels) <= 7


def test_a_long_curve_is_thinned_and_ends_where_it_ended() -> None:
    drawn = curve.draw({"loss": [(step, 1 / (step + 1)) for step in range(10_000)]})
    assert drawn is not None
    assert drawn.lines[0].path.count("L") <= 400
    assert drawn.lines[0].last == 1 / 10_000
    assert curve.draw({"loss": [(0, float("inf"))]}) is None
