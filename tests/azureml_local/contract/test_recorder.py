"""What watches the contract: it sees exchanges, blames deviations, and tells of both."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
import requests

from tests.azureml_local.contract import report
from tests.azureml_local.contract.openapi import DOCUMENTS, Contract
from tests.azureml_local.contract.recorder import Recorder
from tests.conftest import LocalServer

pytestmark = pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the OpenAPI documents are not at hand")

COMPUTE = (
    "https://localhost:1/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices"
    "/workspaces/w/computes/c?api-version=2023-08-01-preview"
)


@pytest.fixture
def watcher() -> Recorder:
    """A recorder apart from the session's, which is not to hear of deviations made on purpose."""
    return Recorder(Contract.read())


def exchange(
    method: str, sent: Any, status: int, answer: Any, client: str = "azsdk-python-test"
) -> tuple[requests.PreparedRequest, requests.Response]:
    request = requests.Request(method, COMPUTE, json=sent, headers={"User-Agent": client}).prepare()
    response = requests.Response()
    response.status_code = status
    response._content = json.dumps(answer).encode()
    return request, response


def test_a_good_exchange_is_counted(watcher: Recorder) -> None:
    good = {"properties": {"computeType": "AmlCompute"}}
    watcher.look_at(*exchange("GET", None, 200, good))
    assert watcher.from_sdk == {"Compute_Get": 1}
    assert watcher.versions == {"Compute_Get": {"2023-08-01-preview"}}
    assert watcher.unexplained == []


def test_a_bad_answer_is_found(watcher: Recorder) -> None:
    watcher.look_at(*exchange("GET", None, 200, {"properties": {}}))
    assert watcher.unexplained == ["Compute_Get response: missing property properties.computeType"]


def test_a_bad_request_counts_when_it_is_the_sdks_and_was_accepted(watcher: Recorder) -> None:
    bad: dict[str, Any] = {"properties": {}}
    error = {"error": {"code": "BadRequest", "message": "no"}}
    watcher.look_at(*exchange("PUT", bad, 400, error))
    watcher.look_at(*exchange("PUT", bad, 200, {"properties": {"computeType": "AmlCompute"}}, "curl"))
    assert watcher.unexplained == []
    watcher.look_at(*exchange("PUT", bad, 200, {"properties": {"computeType": "AmlCompute"}}))
    assert watcher.unexplained == ["Compute_CreateOrUpdate request: missing property properties.computeType"]


def test_what_several_processes_have_seen_is_one_tally(watcher: Recorder) -> None:
    other = Recorder(watcher.contract)
    for each, version in ((watcher, "2023-08-01-preview"), (other, "2024-04-01"), (other, "2024-04-01")):
        request, response = exchange("GET", None, 200, {"properties": {}})
        assert request.url is not None
        request.url = request.url.replace("2023-08-01-preview", version)
        each.look_at(request, response)
    watcher.add(pickle.loads(pickle.dumps(other.tally())))
    assert watcher.from_sdk == watcher.successful == {"Compute_Get": 3}
    assert watcher.versions == {"Compute_Get": {"2023-08-01-preview", "2024-04-01"}}
    assert len(watcher.unexplained) == 3


def test_the_report_names_what_was_not_kept(watcher: Recorder) -> None:
    watcher.look_at(*exchange("GET", None, 200, {"properties": {}}))
    assert "| Compute_Get | 1 | 0 | 1 | 2023-08-01-preview |" in report.markdown(watcher)
    wrong = "| Compute_Get | response | missing property properties.computeType | 1 | **none** |"
    assert wrong in report.markdown(watcher)


def test_the_session_is_watched(recorder: Recorder, server: LocalServer, ml_client: Any) -> None:
    before = recorder.from_sdk["Workspaces_Get"]
    ml_client.workspaces.get(ml_client.workspace_name)
    assert recorder.from_sdk["Workspaces_Get"] > before
