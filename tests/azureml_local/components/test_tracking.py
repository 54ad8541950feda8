"""The metrics of a training reach both of its runs, whatever the service answers at first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from azureml_local.components.training import tracking
from azureml_local.components.training.metrics import Metrics
from tests.support import loopback

CLOSED = 0  # in place of a status: the connection is closed without an answer


@dataclass
class Service:
    """What a tracking service answers at first, and the metrics that it has taken since."""

    first: list[int] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    found = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = found.first.pop(0) if found.first else 200
            if status == 200:
                found.taken.append({"path": self.path, "token": self.headers["Authorization"], **body})
            if status != CLOSED:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}')

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    monkeypatch.setattr(tracking, "PAUSES", (0.0, 0.0, 0.0))
    with loopback.serving(Handler) as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}/mlflow/v1.0/workspaces/w")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of-the-job")
        monkeypatch.setenv("MLFLOW_RUN_ID", "step")
        monkeypatch.setenv("AZUREML_ROOT_RUN_ID", "job")
        yield found


def test_every_value_goes_to_the_steps_run_and_to_the_jobs(service: Service) -> None:
    metrics = Metrics()
    metrics.log({"loss": 1.5, "grad_norm": float("nan")}, 3)
    metrics.close()
    assert [each["run_id"] for each in service.taken] == ["step", "job"]
    for each in service.taken:
        assert each["path"] == "/mlflow/v1.0/workspaces/w/api/2.0/mlflow/runs/log-batch"
        assert each["token"] == "Bearer of-the-job"
        (metric,) = each["metrics"]
        assert (metric["key"], metric["value"], metric["step"]) == ("loss", 1.5, 3)
        assert metric["timestamp"] > 1_700_000_000_000


@pytest.mark.parametrize("first", [[503, 429], [CLOSED], [500, 502, 504]])
def test_what_passes_is_outlasted(service: Service, first: list[int]) -> None:
    service.first = first
    metrics = Metrics()
    metrics.log({"loss": 1.5}, 1)
    metrics.close()
    assert [each["run_id"] for each in service.taken] == ["step", "job"]


@pytest.mark.parametrize(
    ("first", "line"), [([404], "HTTP Error 404: Not Found: {"), ([503] * 4, "HTTP Error 503")]
)
def test_what_does_not_pass_is_a_line_and_the_training_goes_on(
    service: Service, capsys: pytest.CaptureFixture[str], first: list[int], line: str
) -> None:
    service.first = first
    metrics = Metrics()
    metrics.log({"loss": 1.5}, 1)
    metrics.log({"loss": 1.4}, 2)
    metrics.close()
    assert f"The metrics of step 1 could not be sent to run step: {line}" in capsys.readouterr().out
    assert [(each["run_id"], each["metrics"][0]["step"]) for each in service.taken] == [
        ("job", 1),
        ("step", 2),
        ("job", 2),
    ]


def test_the_plug_ins_address_is_that_of_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "azureml://eastus.api.azureml.ms/mlflow/v1.0/x")
    assert tracking.Tracking.of_environment().address == "https://eastus.api.azureml.ms/mlflow/v1.0/x"
