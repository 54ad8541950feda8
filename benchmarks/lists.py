"""Processor time of one page of a hundred, by how many things there are, beside Azurite and moto's server.

    python -m benchmarks.lists [--folder DIR] [--sizes 100,1000,100000]

Of the local workspace: pages of jobs and of names of models, and a name's latest version. Of Azurite: List
Blobs of a container with as many blobs. Of moto: S3's ListObjectsV2. The first page and one from the middle
of the list are read in turns, and the server's own processor time is counted, so that other work on the
machine matters little. The peers are filled through their own requests, up to --peers things, the workspace's
documents through its store.
"""

from __future__ import annotations

import argparse
import json
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from xml.etree import ElementTree

import psutil

from azureml_local import switch
from azureml_local.state.document import Kind
from azureml_local.state.documents import JOBS, LEDGER, LedgerDocument, assets
from azureml_local.state.store import Store
from benchmarks.server import Call, Client, Service, azurite, local_workspace, moto, running
from benchmarks.spread import spread

PAGES, ROUNDS = 40, 3  # how often the pages of a list are read in a round
PAGE = 100
_MODELS: Kind[Any] = assets("models")
_JOBS: Kind[Any] = JOBS
_DAY = "2026-01-01T00:00:00.{:06d}+00:00"


@dataclass(frozen=True)
class Listing:
    """A list of a service: its name, and the calls of its first page and of one from its middle."""

    name: str
    pages: Sequence[Call]


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where Azurite and moto are installed and kept")
    parser.add_argument("--sizes", default="100,1000,20000,100000")
    parser.add_argument("--peers", type=int, default=20_000, help="how many things the peers get at most")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "installed"
        columns = [
            _measured(size, Path(scratch) / str(size), folder if size <= arguments.peers else None)
            for size in sizes
        ]
    print(_table(sizes, columns))


def _measured(size: int, scratch: Path, installed: Path | None) -> Mapping[str, list[float]]:
    """Milliseconds of a server's processor for each list, of several rounds.

    Of the peers as well where they are installed.
    """
    state = scratch / "state"
    with switch.joined(state):
        pass  # makes the certificates that all three serve with
    trust = ssl.create_default_context(cafile=state / "tls" / "ca.pem")
    _fill(state, size)
    filled = [(local_workspace(state, trust), _ours)]
    if installed is not None:
        filled += [(azurite(installed, scratch, trust), _blobs), (moto(installed, state, trust), _objects)]
    found = {}
    for service, lists in filled:
        with running(service, trust) as process:
            for listing in lists(service, trust, size):
                found[listing.name] = _milliseconds(service, process, listing, trust)
    return found


def _fill(state: Path, size: int) -> None:
    """Write jobs, names of models, as many versions of one model, and nodes that a cluster had."""
    store = Store(state / "workspace.sqlite")
    with store.transaction():
        for number in range(size):
            store.put(_JOBS, f"job-{number:06d}", _job(f"job-{number:06d}", number))
            store.put(_MODELS, f"model-{number:06d}/1", _model(f"model-{number:06d}", 1))
            store.put(_MODELS, f"one/{number + 1}", _model("one", number + 1))
            store.put(LEDGER, f"{number:06d}", _node(number))
    store.close()


def _job(name: str, number: int) -> dict[str, Any]:
    given = {"jobType": "Command", "command": "python train.py " + "x" * 500, "tags": {"team": "a"}}
    shown = {
        "experimentName": "e",
        "displayName": name,
        "properties": {},
        "outputs": {},
        "status": "Completed",
    }
    return {
        **{"name": name, "root": name, "parent": None, "step": "", "children": [], "number": number},
        **{
            "request": given,
            "seed": "",
            "properties": {**given, **shown, "status": "Completed"},
            "error": None,
            "cancel": False,
        },
        **{"created": _DAY.format(0), "started": _DAY.format(1), "ended": _DAY.format(2)},
        **{"hidden": False, "leases": [], "foreign": True, "error": None, "cancel": False},
    }


def _model(name: str, version: int) -> dict[str, Any]:
    given = {"modelUri": "azureml://datastores/x/paths/y", "modelType": "custom_model", "tags": {"a": "b"}}
    common: dict[str, Any] = {
        "description": None,
        "isArchived": False,
        "isAnonymous": False,
        "properties": {},
    }
    system = {"createdAt": _DAY.format(version), "createdBy": "somebody"}
    return {"name": name, "version": str(version), "properties": {**common, **given}, "systemData": system}


def _node(number: int) -> LedgerDocument:
    return {
        "kind": "node",
        "name": "cluster",
        "vm_size": "Standard_DS3_v2",
        "hourly_price": 0.2,
        "owner": "job",
        "started": float(number),
        "ready": number + 0.5,
        "stopped": number + 1.0,
        "uses": 1,
    }


def _ours(service: Service, trust: ssl.SSLContext, size: int) -> Iterator[Listing]:
    call, _ = service.prepare()
    workspace = call.target.partition("/computes/")[0]

    def pages(path: str) -> list[Call]:
        """The first page, and the one in the middle, to which the links of the pages before lead."""
        client, target = Client(service.port, trust), f"{workspace}/{path}?api-version=2024-04-01"
        first = Call("GET", target, call.headers)
        for _ in range(size // PAGE // 2):
            following = json.loads(client.send(Call("GET", target, call.headers))).get("nextLink")
            target = urlsplit(following)._replace(scheme="", netloc="").geturl()
        client.close()
        return [first, Call("GET", target, call.headers)]

    yield Listing("azureml-local, a cluster that had as many nodes", [call])
    yield Listing("azureml-local, jobs", pages("jobs"))
    yield Listing("azureml-local, names of models", pages("models"))
    one = f"{workspace}/models/one?api-version=2024-04-01"
    yield Listing("azureml-local, the latest of a name's versions", [Call("GET", one, call.headers)])


def _blobs(service: Service, trust: ssl.SSLContext, size: int) -> Iterator[Listing]:
    get, put = service.prepare()
    _put_all(service, trust, put, size)
    path, _, signature = get.target.partition("?")
    query = dict(parse_qsl(signature)) | {"restype": "container", "comp": "list", "maxresults": str(PAGE)}

    def call(marker: str) -> Call:
        return Call("GET", f"{path}?{urlencode(query | ({'marker': marker} if marker else {}))}")

    yield Listing(f"{service.name}, blobs", _to_the_middle(service, trust, size, call, "NextMarker"))


def _objects(service: Service, trust: ssl.SSLContext, size: int) -> Iterator[Listing]:
    _, put = service.prepare()
    _put_all(service, trust, put, size)

    def call(token: str) -> Call:
        after = f"&continuation-token={quote(token)}" if token else ""
        return Call("GET", f"/benchmark?list-type=2&max-keys={PAGE}{after}", put.headers)

    yield Listing(
        f"{service.name}, objects", _to_the_middle(service, trust, size, call, "NextContinuationToken")
    )


def _put_all(service: Service, trust: ssl.SSLContext, put: Call, size: int) -> None:
    small = Call(put.method, put.target, put.headers, b"x")

    def send(lane: int) -> None:
        client = Client(service.port, trust)
        for number in range(lane, size, 4):
            client.send(small, number)
        client.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))


def _to_the_middle(
    service: Service, trust: ssl.SSLContext, size: int, call: Callable[[str], Call], following: str
) -> list[Call]:
    """The first page of a list in XML, and the one in the middle."""
    client, marker = Client(service.port, trust), ""
    for _ in range(size // PAGE // 2):
        answer = ElementTree.fromstring(client.send(call(marker)))
        marker = next((e.text or "" for e in answer.iter() if e.tag.rpartition("}")[2] == following), "")
    client.close()
    return [call(""), call(marker)]


def _milliseconds(
    service: Service, process: psutil.Process, listing: Listing, trust: ssl.SSLContext
) -> list[float]:
    """Of the server's processor time, for one page; of several rounds."""
    client = Client(service.port, trust)
    for page in listing.pages:
        client.send(page)
    found = []
    for _ in range(ROUNDS):
        before = _spent(process)
        for page in [*listing.pages] * PAGES:
            client.send(page)
        found.append((_spent(process) - before) / (PAGES * len(listing.pages)) * 1000)
    client.close()
    return found


def _spent(process: psutil.Process) -> float:
    """Seconds of processor time, of the process and those that it has started."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def _table(sizes: Sequence[int], columns: Sequence[Mapping[str, Sequence[float]]]) -> str:
    head = [f"| processor ms a page | {' | '.join(f'{size:,}' for size in sizes)} |"]
    head.append("| --- " + "| ---: " * len(sizes) + "|")
    names = list(dict.fromkeys(name for column in columns for name in column))
    return "\n".join([*head, *(_row(name, columns) for name in names)])


def _row(name: str, columns: Sequence[Mapping[str, Sequence[float]]]) -> str:
    figures = [spread(column[name], 1) if name in column else "–" for column in columns]
    return f"| {name} | {' | '.join(figures)} |"


if __name__ == "__main__":
    main()
