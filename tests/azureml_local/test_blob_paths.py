"""No name and no address reaches outside the containers, whatever it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import Settings
from azureml_local.state.clock import Clock
from azureml_local.state.tokens import Secrets, Tokens
from azureml_local.wire import datastore
from tests.conftest import LocalServer
from tests.support.examples import examples
from tests.support.waiting import PATIENCE

CONTAINER, OTHER = "azureml-blobstore", "azureml"
CANARY = "canary.txt"

# Names of what lies outside, every way up that is known to have worked somewhere, and anything else.
SEGMENTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "%2e%2e",
        "%2E.",
        "..%2f..",
        "..%5c..",
        "%252e%252e",
        "..\\..",
        "..;",
        "..%00",
        "%c0%ae%c0%ae",
        "~",
        "C:",
        CANARY,
        CONTAINER,
        OTHER,
        "blobs",
        "secrets.json",
        "etc",
        "passwd",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=8).map("/".join)
ACTIONS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("PUT", "", {"x-ms-blob-type": "BlockBlob"}),
    ("PUT", "&comp=block&blockid=QQ==", {}),
    ("PUT", "&comp=metadata", {"x-ms-meta-a": "b"}),
    ("GET", "", {}),
    ("DELETE", "", {}),
)


@dataclass(frozen=True)
class Storage:
    """Somebody who may do everything in one container and nothing elsewhere."""

    session: requests.Session
    url: str
    signature: str
    bundle: str

    def send(self, method: str, path: str, query: str, headers: dict[str, str]) -> requests.Response:
        """The answer for a path as it stands, which the library itself would put right."""
        request = requests.Request(method, "https://localhost", headers=headers, data=b"x").prepare()
        request.url = f"{self.url}/{path}?{self.signature}{query}"
        return self.session.send(request, timeout=PATIENCE, verify=self.bundle)


@pytest.fixture
def canary(server: LocalServer) -> Iterator[str]:
    """What must not be read: it lies in another container, in the state directory and above it."""
    text = uuid4().hex
    places = [
        folder / CANARY for folder in (server.state / "blobs" / OTHER, server.state, server.state.parent)
    ]
    for place in places:
        place.write_text(text)
    yield text
    for place in places:
        assert place.read_text() == text
        place.unlink()


@pytest.fixture
def storage(server: LocalServer, environment: dict[str, str]) -> Iterator[Storage]:
    port = int(server.url.rsplit(":", 1)[1])
    tokens = Tokens(Settings(server.state, port), Secrets.of(server.state / "secrets.json"), Clock())
    url = f"{server.url}/local.blob.core.windows.net/{CONTAINER}"
    with requests.Session() as session:
        yield Storage(session, url, tokens.sas(CONTAINER), environment["REQUESTS_CA_BUNDLE"])


@pytest.mark.slow
@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(path=PATHS)
def test_no_blobs_name_reaches_outside_its_container(
    server: LocalServer, storage: Storage, canary: str, path: str
) -> None:
    """The answer is no server error and tells nothing of what lies elsewhere, and no file appears there."""
    before = _outside(server.state)
    for method, query, headers in ACTIONS:
        answer = storage.send(method, _raw(path), query, headers)
        assert answer.status_code < 500, (method, path, answer.text)
        assert canary not in answer.text
    assert _outside(server.state) == before


def test_a_link_that_leads_outside_is_not_followed(
    server: LocalServer, storage: Storage, canary: str
) -> None:
    """A job can write links into a container, but nobody reads or writes through them."""
    link = server.state / "blobs" / CONTAINER / f"link-{uuid4().hex}"
    link.symlink_to(server.state)
    path = f"{link.name}/{CANARY}"
    assert storage.send("GET", path, "", {}).status_code == 404
    assert storage.send("PUT", path, "", {"x-ms-blob-type": "BlockBlob"}).status_code == 400
    link.unlink()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace in this process, with something outside its containers."""
    state = tmp_path_factory.mktemp("state")
    found = Workspace.open(Settings(state, 1))
    datastore.seed(found)
    for folder in (state, state.parent, found.settings.blobs_path):
        (folder / CANARY).write_text("secret")
    yield found
    found.close()


@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from(
        [
            "azureml://datastores/workspaceblobstore/paths/{}",
            "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/workspaceblobstore/paths/{}",
            "azureml:azureml://datastores/workspaceblobstore/paths/{}",
            "azureml://jobs/{}/outputs/x",
            "azureml://jobs/x/outputs/{}",
            "azureml://registries/azureml/models/{}/versions/1",
            "https://localhost:1/local.blob.core.windows.net/azureml-blobstore/{}",
            "https://localhost/local.blob.core.windows.net/{}",
            "runs:/{}/model",
            "runs:/x/{}",
            "azureml:{}:1",
            "{}",
            "file://{}",
        ]
    ),
    path=PATHS | PATHS.map(quote),
)
def test_no_address_reaches_outside_the_containers(workspace: Workspace, form: str, path: str) -> None:
    try:
        found = addresses.resolve(workspace, form.format(path))
    except (BadRequest, NotFound):
        return
    containers = [Path(folder) for folder in workspace.settings.blobs_path.iterdir() if folder.is_dir()]
    assert any(found.resolve().is_relative_to(container) for container in containers), found


def _raw(path: str) -> str:
    """Percent-encoded where a request line cannot hold it, everything else as it is."""
    safe = "/.%\\;~:-"
    return "".join(
        c if c.isascii() and (c.isalnum() or c in safe) else "".join(f"%{byte:02X}" for byte in c.encode())
        for c in path
    )


def _outside(state: Path) -> dict[str, int]:
    """The files of the state directory and above it, with their sizes, but for the one container and what
    the server itself writes all the time."""
    own = (state / "blobs" / CONTAINER, state / "uploads")
    found = [*state.rglob("*"), *state.parent.iterdir()]
    return {
        str(path): path.stat().st_size
        for path in found
        if path.is_file() and path.parent != state and not any(path.is_relative_to(each) for each in own)
    } | {str(path): 0 for path in state.iterdir() if not path.name.startswith("workspace.sqlite")}
