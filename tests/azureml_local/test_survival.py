"""What was acknowledged is there after kill -9, whenever that came, and nothing is there by halves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from azure.storage.blob import ContainerClient

from azureml_local import switch
from azureml_local.server import Address
from azureml_local.settings import Settings
from azureml_local.state.clock import Clock
from azureml_local.state.tokens import Secrets, Tokens
from tests.support.processes import of_state
from tests.support.waiting import PATIENCE, until

CONTAINER = "azureml-blobstore"
WORKSPACE = Settings(state=Path(), port=0).workspace_arm_id


def kill(state: Path) -> None:
    address = Address.read(state)
    assert address
    server = psutil.Process(address.pid)
    server.send_signal(signal.SIGKILL)
    server.wait(PATIENCE)


@contextmanager
def session(environment: dict[str, str]) -> Iterator[requests.Session]:
    """A client of the workspace that does not try again."""
    with requests.Session() as client:
        client.trust_env, client.verify = False, environment["REQUESTS_CA_BUNDLE"]
        answer = client.get(
            environment["IDENTITY_ENDPOINT"],
            params={"api-version": "2019-08-01", "resource": "https://management.azure.com"},
            headers={"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]},
            timeout=PATIENCE,
        )
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


def blob_url(state: Path, url: str, name: str = "") -> str:
    settings = Settings(state, urlsplit(url).port or 0)
    sas = Tokens(settings, Secrets.of(settings.secrets_path), Clock()).sas(CONTAINER)
    return f"{settings.blob_url}/{CONTAINER}{name and '/' + name}?{sas}"


def content(number: int) -> bytes:
    """Different for each number, of 1 byte to about 600 kB, and the name tells which is meant."""
    seed = sha256(str(number).encode()).digest()
    return (seed * 20_000)[: 1 + int.from_bytes(seed[:3], "big") % 600_000]


class Writer(threading.Thread):
    """Writes blobs, in one request and in blocks, and assets, until the server is gone."""

    def __init__(self, state: Path, environment: dict[str, str], first: int) -> None:
        super().__init__(daemon=True)
        self._state, self._environment, self._number = state, environment, first
        self.acknowledged: list[int] = []

    def run(self) -> None:
        try:
            with session(self._environment) as client:
                while True:
                    self._write(client, self._number)
                    self.acknowledged.append(self._number)
                    self._number += 1
        except requests.RequestException:
            return

    def _write(self, client: requests.Session, number: int) -> None:
        url, data = self._environment["AZUREML_LOCAL_URL"], content(number)
        address = blob_url(self._state, url, f"survival/{number}")
        if number % 2:
            answer = client.put(address, data, headers={"x-ms-blob-type": "BlockBlob"}, timeout=PATIENCE)
            assert answer.status_code == 201
        else:
            for block, part in (("YQ==", data[:1000]), ("Yg==", data[1000:])):
                client.put(f"{address}&comp=block&blockid={block}", part, timeout=PATIENCE).raise_for_status()
            blocks = "<BlockList><Latest>YQ==</Latest><Latest>Yg==</Latest></BlockList>"
            client.put(f"{address}&comp=blocklist", blocks, timeout=PATIENCE).raise_for_status()
        uri = f"azureml://datastores/workspaceblobstore/paths/survival/{number}"
        asset = {"properties": {"dataType": "uri_file", "dataUri": uri}}
        data_version = f"{url}{WORKSPACE}/data/survivor/versions/{number}?api-version=2024-04-01"
        client.put(data_version, json=asset, timeout=PATIENCE).raise_for_status()


@pytest.mark.slow
def test_whenever_it_is_killed_what_it_acknowledged_is_there_and_whole(tmp_path: Path) -> None:
    written: list[int] = []
    for life, writes in enumerate((1, 6, 3)):
        with switch.joined(tmp_path) as environment:
            writer = Writer(tmp_path, environment, first=life * 1000)
            writer.start()
            until(lambda: len(writer.acknowledged) >= writes)  # noqa: B023
            kill(tmp_path)
            writer.join(PATIENCE)
            assert not writer.is_alive()
        written += writer.acknowledged
    with switch.joined(tmp_path) as environment, session(environment) as client:
        url = environment["AZUREML_LOCAL_URL"]
        bundle = environment["REQUESTS_CA_BUNDLE"]
        with ContainerClient.from_container_url(blob_url(tmp_path, url), connection_verify=bundle) as blobs:
            there = {blob.name: blob.size for blob in blobs.list_blobs("survival/")}
            assert there.keys() >= {f"survival/{number}" for number in written}
            for name in there:  # also those of which the client never heard the answer
                assert blobs.download_blob(name).readall() == content(int(name.rsplit("/", 1)[1]))
        for number in written:
            address = f"{url}{WORKSPACE}/data/survivor/versions/{number}?api-version=2024-04-01"
            properties = client.get(address, timeout=PATIENCE).json()["properties"]
            assert properties["dataUri"].endswith(f"/survival/{number}")


TRACKED = """
import json, os, sys, mlflow
if len(sys.argv) == 1:
    mlflow.set_experiment("survival")
    run = mlflow.start_run()
    mlflow.log_metric("loss", 1.5, step=3)
    mlflow.log_param("rate", "0.1")
    print(run.info.run_id, flush=True)
    os._exit(0)  # as a script that dies: the run is not ended
run = mlflow.get_run(sys.argv[1])
(point,) = mlflow.MlflowClient().get_metric_history(sys.argv[1], "loss")
job = mlflow.get_run("first").info.status
print(json.dumps([run.info.status, run.data.metrics, run.data.params, point.step, job]))
"""


@pytest.mark.slow
def test_runs_and_metrics_are_there_after_kill_9(tmp_path: Path) -> None:
    def script(environment: dict[str, str], *arguments: str) -> str:
        tracking = Settings(tmp_path, urlsplit(environment["AZUREML_LOCAL_URL"]).port or 0).tracking_uri
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", TRACKED, *arguments],
            env={**os.environ, **environment, "MLFLOW_TRACKING_URI": tracking},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-1]

    with switch.joined(tmp_path) as environment, session(environment) as client:
        address = f"{environment['AZUREML_LOCAL_URL']}{WORKSPACE}/jobs/first?api-version=2024-04-01"
        image = "azureml://registries/azureml/environments/any/versions/1"
        job = {"jobType": "Command", "command": "true", "environmentId": image}
        client.put(address, json={"properties": job}, timeout=PATIENCE).raise_for_status()
        until(lambda: client.get(address, timeout=PATIENCE).json()["properties"]["status"] == "Completed")
        until(
            lambda: [*tmp_path.glob("mlflow.[!l]*")]
        )  # MLflow begins to make its database: in the midst of it
        kill(tmp_path)
    until(lambda: of_state(tmp_path) == [])  # MLflow ends with its server
    with switch.joined(tmp_path) as environment:
        run = script(environment)
        kill(tmp_path)
    until(lambda: of_state(tmp_path) == [])
    with switch.joined(tmp_path) as environment:
        found = json.loads(script(environment, run))
    assert found == ["RUNNING", {"loss": 1.5}, {"rate": "0.1"}, 3, "FINISHED"]
