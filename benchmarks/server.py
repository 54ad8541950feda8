"""Start-up, requests a second and memory of the local workspace, beside Azurite and moto's server.

    python -m benchmarks.server [--folder DIR]

Azurite comes from npm, moto from PyPI, both into DIR, or into a temporary folder. All three listen on
loopback behind TLS with the same certificate, have one and the same client, and are measured in turn, round
by round; the table shows medians. What is compared:

  start     from the command to the first answer, the state directory being there from an earlier start
  get       the workspace: get a compute. Azurite has no resource manager: get a container's properties.
            moto has no Azure: EC2 DescribeInstances of one instance.
  put 1 MB  the workspace and Azurite: Put Blob, signature checked. moto: S3 PutObject, signature not
            checked, and kept in memory, where the other two write to disk.

The client, on the same machine, takes its share of the processor: the ratios say more than the figures.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil

from azureml_local import switch
from benchmarks.spread import spread

ROUNDS, STARTS = 3, 5
CONNECTIONS = (1, 8)
MEGABYTE = os.urandom(2**20)
# The account that Azurite documents, the same in every installation: no secret.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SCOPE = "AKIDEXAMPLE/20260101/us-east-1/{}/aws4_request"


@dataclass(frozen=True)
class Call:
    """A request; `{n}` in its target becomes a number that no other request has."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Service:
    """A server and its two calls; `prepare` makes what they need and gives get and put."""

    name: str
    command: Sequence[str]
    port: int
    prepare: Callable[[], tuple[Call, Call]]


class Client:
    """One connection, kept open; raises RuntimeError for an answer that is no success."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self._connection = http.client.HTTPSConnection("localhost", port, context=trust, timeout=60)

    def send(self, call: Call, number: int = 0) -> bytes:
        self._connection.request(
            call.method, call.target.replace("{n}", str(number)), call.body, dict(call.headers)
        )
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{call.method} {call.target}: {answer.status} {content[:300]!r}")
        return content

    def close(self) -> None:
        self._connection.close()


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where Azurite and moto are installed and kept")
    parser.add_argument("--seconds", type=float, default=2.0, help="of load, for each figure and round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(measure(arguments.folder or Path(scratch) / "installed", Path(scratch), arguments.seconds))


def measure(installed: Path, scratch: Path, seconds: float) -> str:
    """The table; `scratch` takes the state of all three."""
    state = scratch / "state"
    with switch.joined(state):
        pass  # makes the certificates that all three serve with
    trust = ssl.create_default_context(cafile=state / "tls" / "ca.pem")
    services = [
        local_workspace(state, trust),
        azurite(installed, scratch, trust),
        moto(installed, state, trust),
    ]
    rows: dict[str, list[tuple[float, ...]]] = {}
    starts = [[_start_seconds(service, trust) for service in services] for _ in range(1 + STARTS)]
    rows["start, s"] = list(zip(*starts[1:], strict=True))
    with ExitStack() as started:
        processes = [started.enter_context(running(service, trust)) for service in services]
        calls = [service.prepare() for service in services]
        for kind, what in enumerate(("get", "put 1 MB")):
            for connections in CONNECTIONS:
                rounds = [
                    [
                        _rate(service, pair[kind], connections, seconds, trust)
                        for service, pair in zip(services, calls, strict=True)
                    ]
                    for _ in range(ROUNDS)
                ]
                name = f"{what}, requests/s, {connections} connection{'s' * (connections > 1)}"
                rows[name] = list(zip(*rounds, strict=True))
        rows["memory afterwards, MB"] = [(_memory(process),) for process in processes]
    return _table([service.name for service in services], rows)


def local_workspace(state: Path, trust: ssl.SSLContext) -> Service:
    """Our server, with its state directory."""
    port = _free_port()

    def prepare() -> tuple[Call, Call]:
        variables = switch.environment(state)
        client = Client(port, trust)
        asked = urlsplit(variables["IDENTITY_ENDPOINT"]).path + "?api-version=2019-08-01&resource="
        identity = {"X-IDENTITY-HEADER": variables["IDENTITY_HEADER"]}
        token = json.loads(
            client.send(Call("GET", asked + quote("https://management.azure.com", safe=""), identity))
        )
        headers = {
            "Authorization": f"Bearer {token['access_token']}",
            "Content-Type": "application/json",
        }
        workspace = (
            f"/subscriptions/{variables['AZURE_SUBSCRIPTION_ID']}/resourceGroups/"
            f"{variables['AZURE_RESOURCE_GROUP']}/providers/Microsoft.MachineLearningServices/workspaces/"
            f"{variables['AZUREML_WORKSPACE_NAME']}"
        )
        compute = f"{workspace}/computes/cluster?api-version=2024-04-01"
        cluster = {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_DS3_v2"}}
        client.send(Call("PUT", compute, headers, json.dumps({"properties": cluster}).encode()))
        secrets = f"{workspace}/datastores/workspaceblobstore/listSecrets?api-version=2024-04-01"
        sas = json.loads(client.send(Call("POST", secrets, headers, b"{}")))["sasToken"]
        client.close()
        blob = f"/local.blob.core.windows.net/azureml-blobstore/benchmark/{{n}}?{sas}"
        return Call("GET", compute, headers), Call("PUT", blob, {"x-ms-blob-type": "BlockBlob"}, MEGABYTE)

    command = [sys.executable, "-m", "azureml_local", "up", "--state", str(state), "--port", str(port)]
    return Service("azureml-local", command, port, prepare)


def azurite(installed: Path, scratch: Path, trust: ssl.SSLContext) -> Service:
    """Azurite from npm, with our certificate."""
    folder, port, tls = installed / "azurite", _free_port(), scratch / "state" / "tls" / "server.pem"
    package = folder / "node_modules" / "azurite" / "package.json"
    if not package.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run("npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "azurite@latest")

    def prepare() -> tuple[Call, Call]:
        from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

        sas = generate_account_sas(
            ACCOUNT,
            ACCOUNT_KEY,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions(read=True, write=True, create=True, list=True),
            datetime.now(UTC) + timedelta(days=1),
        )
        container = f"/{ACCOUNT}/benchmark"
        client = Client(port, trust)
        client.send(Call("PUT", f"{container}?restype=container&{sas}"))
        client.close()
        get = Call("GET", f"{container}?restype=container&{sas}")
        return get, Call("PUT", f"{container}/{{n}}?{sas}", {"x-ms-blob-type": "BlockBlob"}, MEGABYTE)

    command = [str(folder / "node_modules" / ".bin" / "azurite-blob"), "--silent", "--disableTelemetry"]
    command += ["--skipApiVersionCheck", "--location", str(scratch / "azurite"), "--blobPort", str(port)]
    command += ["--cert", str(tls), "--key", str(tls)]
    return Service(f"Azurite {json.loads(package.read_text())['version']}", command, port, prepare)


def moto(installed: Path, state: Path, trust: ssl.SSLContext) -> Service:
    """Moto's server from PyPI, with our certificate."""
    folder, port, tls = installed / "moto", _free_port(), state / "tls" / "server.pem"
    python = folder / "bin" / "python"
    if not python.exists():
        _run("uv", "venv", "--quiet", "--python", sys.executable, str(folder))
        _run("uv", "pip", "install", "--quiet", "--python", str(python), "moto[server,s3,ec2]")
    version = subprocess.check_output(
        [python, "-c", "import importlib.metadata as m; print(m.version('moto'))"], text=True
    ).strip()

    def prepare() -> tuple[Call, Call]:
        ec2 = {"Authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE.format('ec2')}"}
        ec2["Content-Type"] = "application/x-www-form-urlencoded"
        s3 = {"Authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE.format('s3')}"}
        client = Client(port, trust)
        client.send(Call("PUT", "/benchmark", s3))
        image = b"Action=RunInstances&Version=2016-11-15&ImageId=ami-12c6146b&MinCount=1&MaxCount=1"
        started = client.send(Call("POST", "/", ec2, image)).decode()
        instance = started.partition("<instanceId>")[2].partition("<")[0]
        client.close()
        one = f"Action=DescribeInstances&Version=2016-11-15&InstanceId.1={instance}"
        return Call("POST", "/", ec2, one.encode()), Call("PUT", "/benchmark/{n}", s3, MEGABYTE)

    command = [str(folder / "bin" / "moto_server"), "-p", str(port), "-c", str(tls), "-k", str(tls)]
    return Service(f"moto {version}", command, port, prepare)


def _start_seconds(service: Service, trust: ssl.SSLContext) -> float:
    began = time.perf_counter()
    with running(service, trust):
        return time.perf_counter() - began


@contextmanager
def running(service: Service, trust: ssl.SSLContext) -> Iterator[psutil.Process]:
    """The server's process, once it answers."""
    with psutil.Popen(
        service.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not _answers(service.port, trust):
                if process.poll() is not None:
                    raise RuntimeError(f"{service.name} ended with {process.returncode}.")
                time.sleep(0.005)
            yield process
        finally:
            process.terminate()


def _answers(port: int, trust: ssl.SSLContext) -> bool:
    connection = http.client.HTTPSConnection("localhost", port, context=trust, timeout=10)
    try:
        connection.request("GET", "/benchmark-is-there")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _rate(service: Service, call: Call, connections: int, seconds: float, trust: ssl.SSLContext) -> float:
    """Requests a second."""

    def load(lane: int) -> int:
        client, sent = Client(service.port, trust), 0
        client.send(call, lane)
        while not sent or time.perf_counter() < ends:
            client.send(call, lane * 10**6 + sent)
            sent += 1
        client.close()
        return sent

    began = time.perf_counter()
    ends = began + seconds
    with ThreadPoolExecutor(connections) as pool:
        sent = sum(pool.map(load, range(connections)))
    return sent / (time.perf_counter() - began)


def _memory(process: psutil.Process) -> float:
    """Megabytes resident, of the process and those that it has started."""
    family = [process, *process.children(recursive=True)]
    return sum(each.memory_info().rss for each in family) / 2**20


def _table(names: Sequence[str], rows: Mapping[str, Sequence[Sequence[float]]]) -> str:
    ours, *others = names
    head = [f"| | {' | '.join(names)} | {' | '.join(f'{ours} / {other}' for other in others)} |"]
    head.append("| --- " + "| ---: " * (len(names) + len(others)) + "|")
    return "\n".join([*head, *(_row(name, values) for name, values in rows.items())])


def _row(name: str, rounds: Sequence[Sequence[float]]) -> str:
    """The services' rounds, and what ours is of each other's, round by round."""
    ours, *others = rounds
    ratios = [[a / b for a, b in zip(ours, other, strict=True)] for other in others]
    return f"| {name} | {' | '.join([*map(spread, rounds), *(spread(each, 2) for each in ratios)])} |"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
