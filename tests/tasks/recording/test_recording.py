"""Recordings: what is said is kept by its shape alone, and two of them are compared."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tasks.azure.failure import Cause
from tasks.recording.compare import Matter, differences
from tasks.recording.exchange import Recording, leaked, versions
from tasks.recording.recorder import Recorder
from tasks.recording.route import Service, route_of
from tasks.recording.shape import Shape, Shaper
from tests.support.failures import fails
from tests.support.waiting import PATIENCE

SUBSCRIPTION = "4f4f4f4f-1234-4321-8888-0123456789ab"
PLANTED = {
    "contoso-rg",
    "contoso-ws",
    "secret-model",
    "alice",
    "alice@contoso.example",
    SUBSCRIPTION,
    "node-of-alice",
    "projekt-x",
    "contosoacct",
    "gpu-cluster-7",
    "AbCdEf0123456789==",
    "eyJ0eXAiOiJKV1QiLCJhbGciOi",
    "sv=2025&sig=abc%2Fdef",
    "the words of a message",
}
WORKSPACE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/contoso-rg/providers/Microsoft.MachineLearningServices"
    "/workspaces/contoso-ws"
)
DOCUMENT = {
    "id": f"{WORKSPACE}/jobs/secret-model",
    "name": "secret-model",
    "properties": {
        "status": "Running",
        "displayName": "alice",
        "tags": {"projekt-x": "alice", "finetune.run": SUBSCRIPTION, "azureml.of-alice": "projekt-x"},
        "properties": {"StepType": "SubGraphCloudStep", "projekt-x": "gpu-cluster-7"},
        "jobs": {"node-of-alice": {"inputs": {"projekt-x": {"value": "alice@contoso.example"}}}},
        "uri": "https://contosoacct.blob.core.windows.net/c/x?sv=2025&sig=abc%2Fdef",
    },
    "keys": {"primaryKey": "AbCdEf0123456789=="},
    "accessToken": "eyJ0eXAiOiJKV1QiLCJhbGciOi.eyJ.x",
    "value": [{"userName": "alice@contoso.example", "startTimeUtc": "2026-11-26T10:00:00Z"}],
}
REFUSAL = {
    "error": {
        "code": "BadRequest",
        "message": "the words of a message: endpoint alice is in Updating provisioning state",
    }
}

Ask = Callable[..., requests.Response]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """A request to a server whose answers are full of names: the document, or where asked for a refusal."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = (400, REFUSAL) if "/refused" in self.path else (200, DOCUMENT)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Azure-AsyncOperation", f"https://management.example{WORKSPACE}/x")
            self.send_header("X-Of-Alice", "alice")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        yield lambda path: requests.get(base + path, timeout=PATIENCE)
        server.shutdown()


@pytest.fixture
def recording(ask: Ask) -> Recording:
    recorder = Recorder()
    recorder.hide("contoso-rg", "alice")
    with recorder.listening():
        recorder.step = "looking"
        for _ in range(3):
            ask(f"{WORKSPACE}/jobs/secret-model?api-version=2024-04-01&tag=projekt-x&alice=1")
        ask(f"{WORKSPACE}/onlineEndpoints/refused?api-version=2024-04-01")
    ask(f"{WORKSPACE}/jobs/after-the-end")
    return Recording(made="2026-11-26", by=versions(), checks=(), exchanges=recorder.exchanges())


def test_nothing_that_is_anybodys_is_recorded(recording: Recording, tmp_path: Path) -> None:
    recording.write(tmp_path / "smoke.json", PLANTED)
    text = (tmp_path / "smoke.json").read_text()
    assert {name for name in PLANTED if name.casefold() in text.casefold()} == set()
    assert "alice" not in text.casefold()
    assert "contoso" not in text.casefold()


def test_what_says_how_the_service_does_it_is_recorded(recording: Recording) -> None:
    looked, refused = recording.exchanges
    assert (looked.step, looked.method, looked.status, looked.times) == ("looking", "GET", 200, 3)
    assert looked.path.endswith("/workspaces/{}/jobs/{}")
    assert (looked.version, looked.query) == ("2024-04-01", ("tag", "{}"))
    assert looked.headers == ("azure-asyncoperation", "content-type")
    properties = looked.shape["properties"]
    assert properties["status"] == "text:Running"
    assert properties["properties"] == {"StepType": "text:SubGraphCloudStep", "{}": "text"}
    assert properties["tags"] == {"finetune.run": "guid", "azureml.{}": "text", "{}": "text"}
    assert looked.shape["value"] == [{"startTimeUtc": "moment", "userName": "text"}]
    assert refused.shape["error"]["code"] == "text:BadRequest"
    assert refused.recognised == "Another operation on the endpoint is under way."


def test_of_shared_lists_only_ones_own_things_are_recorded(ask: Ask) -> None:
    recorder = Recorder(own="secret-model")
    with recorder.listening():
        ask(f"{WORKSPACE}/computes")
        ask(f"{WORKSPACE}/models")
    shared, other = recorder.exchanges()
    assert (shared.shape["value"], shared.shape["name"]) == ([], "text")
    assert other.shape["value"] != []


def test_a_recording_with_a_name_or_a_secret_is_not_written(recording: Recording, tmp_path: Path) -> None:
    for text in ("projekt-x", SUBSCRIPTION, "eyJ0eXAiOiJKV1Qi", "a?sig=x", "alice@contoso.example"):
        exchange = recording.exchanges[0].model_copy(update={"shape": {"key": text}})
        with fails(Cause.OTHER, "is not written"):
            recording.model_copy(update={"exchanges": (exchange,)}).write(tmp_path / "x.json", {"projekt-x"})
        assert not (tmp_path / "x.json").exists()


def test_a_recording_does_not_differ_from_itself(recording: Recording, tmp_path: Path) -> None:
    recording.write(tmp_path / "smoke.json", ())
    assert differences(Recording.read(tmp_path / "smoke.json"), recording) == []


@pytest.mark.parametrize(
    ("change", "matter", "what"),
    [
        ({"status": 202}, Matter.STATUS, "202 (looking)"),
        ({"headers": ("content-type",)}, Matter.HEADER, "azure-asyncoperation of 200"),
        ({"path": "/subscriptions/{}/other"}, Matter.CALL, "is made"),
        ({"shape": {"name": "text"}}, Matter.SHAPE, "properties"),
        ({"shape": {"name": "guid"}}, Matter.SHAPE, "name"),
        ({"shape": {"name": [{"more": "text"}]}}, Matter.SHAPE, "name"),
        ({"shape": None}, Matter.SHAPE, "a JSON body of 200"),
    ],
)
def test_a_planted_difference_is_found(
    recording: Recording, change: dict[str, Any], matter: Matter, what: str
) -> None:
    looked, refused = recording.exchanges
    other = recording.model_copy(update={"exchanges": (looked.model_copy(update=change), refused)})
    found = differences(other, recording)
    assert (matter, what) in {(each.matter, each.what) for each in found}
    assert all(each.counts for each in found)


def test_a_word_that_only_one_has_is_reported_and_does_not_count(recording: Recording) -> None:
    def with_state(state: str) -> Recording:
        exchange = recording.exchanges[0].model_copy(update={"shape": {"status": f"text:{state}"}})
        return recording.model_copy(update={"exchanges": (exchange,)})

    (found,) = differences(with_state("Updating"), with_state("InProgress"))
    assert (found.matter, found.there, found.here, found.counts) == (
        Matter.WORD,
        "Updating",
        "InProgress",
        False,
    )


@pytest.mark.parametrize(
    ("url", "service", "path"),
    [
        (
            "https://management.azure.com/subscriptions/s/resourceGroups/jobs/providers/Microsoft.X/a",
            None,
            "",
        ),
        (f"https://management.azure.com{WORKSPACE}/jobs/models", Service.MANAGEMENT, "/jobs/{}"),
        (
            f"https://eastus.api.azureml.ms/history/v1.0{WORKSPACE}/runs/children/children",
            Service.RUNS,
            "/runs/{}/children",
        ),
        (
            f"https://eastus.api.azureml.ms/mlflow/v2.0{WORKSPACE}/api/2.0/mlflow/runs/search",
            Service.RUNS,
            "/mlflow/runs/search",
        ),
        ("https://acct.blob.core.windows.net/c/folder/file?sig=x", Service.STORAGE, "/{container}/{blob}"),
        ("https://localhost:1/local.blob.core.windows.net/c/x", Service.STORAGE, "/{container}/{blob}"),
        ("https://ep.eastus.inference.ml.azure.com/score", Service.SCORING, "/score"),
        ("https://localhost:1/inference/ep/score", Service.SCORING, "/score"),
    ],
)
def test_addresses_become_routes(url: str, service: Service | None, path: str) -> None:
    route = route_of(url)
    assert route is not None
    if service is None:  # a group that is called like a part of a path, and a provider that is not known
        assert route.path == "/subscriptions/{}/resourceGroups/{}/providers/{}/{}"
    else:
        assert (route.service, route.path.endswith(path)) == (service, True)


@pytest.mark.parametrize(
    "url",
    [
        "https://login.microsoftonline.com/tenant/oauth2/v2.0/token",
        "http://169.254.169.254/metadata/identity/oauth2/token",
        "https://localhost:1/msi/token?resource=x",
        "https://pypi.org/simple/x",
    ],
)
def test_signing_in_is_not_recorded(url: str) -> None:
    assert route_of(url) is None


def test_the_form_of_a_shape_stands_for_the_shape() -> None:
    shape = Shaper().of({"a": [1, "x", None], "b": [], "c": {"d": [{"e": None}, {"e": {"f": True}}]}})
    assert Shape.read(json.loads(json.dumps(shape.document()))) == shape


def test_words_that_are_names_here_are_hidden() -> None:
    assert Shaper(frozenset({"local"})).of({"local": "local"}).document() == {"{}": "text"}
    assert leaked('{"a": "text:Running"}', {"Running", "ok"}) == {"Running"}


def test_a_file_that_is_no_recording_is_named(tmp_path: Path) -> None:
    for text in ("", "{}", "[]", '{"format": 1, "made": "x", "by": {}, "checks": [], "exchanges": [{}]}'):
        (tmp_path / "x.json").write_text(text)
        with fails(Cause.CONFIGURATION, "is no recording"):
            Recording.read(tmp_path / "x.json")
    newer = Recording(format=2, made="", by={}, checks=(), exchanges=())
    (tmp_path / "x.json").write_text(newer.model_dump_json())
    with fails(Cause.CONFIGURATION, "format 2"):
        Recording.read(tmp_path / "x.json")
