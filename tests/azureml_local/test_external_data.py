"""Data that lies elsewhere: found by rules, fetched where they say so, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest, NotFound, ServiceError
from azureml_local.settings import Scenario, Settings
from azureml_local.state.external_data import BadRules, ExternalData, read
from azureml_local.state.workspace import WorkspaceState

BLOBS = {"/data/a.csv": b"a", "/data/in/b c.csv": b"b", "/data/in/deep/d.csv": b"d", "/data/into.csv": b"no"}


class _Storage(BaseHTTPRequestHandler):
    """A public storage account, whose container is listed a blob a page."""

    asked: list[str]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        query = parse_qs(parts.query)
        if query.get("comp") == ["list"]:
            prefix = "/data/" + query["prefix"][0]
            names = sorted(name.removeprefix("/data/") for name in BLOBS if name.startswith(prefix))
            first = int(query.get("marker", ["0"])[0])
            blobs = "".join(f"<Blob><Name>{name}</Name></Blob>" for name in names[first : first + 1])
            following = str(first + 1) if first + 1 < len(names) else ""
            body = f"<R><Blobs>{blobs}</Blobs><NextMarker>{following}</NextMarker></R>".encode()
        else:
            body = BLOBS.get(parts.path.replace("%20", " "), b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def storage() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Storage) as server:
        server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_file_and_a_folder_are_fetched_once(storage: ThreadingHTTPServer, tmp_path: Path) -> None:
    account = f"http://127.0.0.1:{storage.server_port}/data"
    data = ExternalData(read("fetch"), tmp_path / "cache")
    for _ in range(2):
        file, folder = data.resolve(f"{account}/a.csv"), data.resolve(f"{account}/in/")
        assert (file.name, file.read_bytes()) == ("a.csv", b"a")
        found = {str(path.relative_to(folder)) for path in folder.rglob("*.csv")}
        assert found == {"b c.csv", "deep/d.csv"}
    asked: list[str] = storage.asked  # type: ignore[attr-defined]
    assert len(asked) == len(set(asked)) == 6  # the file; the folder, its list in two pages, its two files
    with pytest.raises(NotFound, match="There is no data at"):
        data.resolve(f"{account}/missing.csv")
    with pytest.raises(ServiceError, match="cannot be fetched"):
        data.resolve("http://127.0.0.1:1/x.csv")
    assert len(list((tmp_path / "cache").iterdir())) == 2  # what has failed leaves nothing


def test_the_longest_rule_counts_and_leads_nowhere_else(tmp_path: Path) -> None:
    for name in ("here/a.csv", "inner/a.csv", "secret.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "- {from: 'https://account.blob.core.windows.net/data/', to: ./here}\n"
        "- {from: 'https://account.blob.core.windows.net/data/in/', to: ./inner}\n"
    )
    settings = Settings(tmp_path / "state", 0, scenario=Scenario(external=str(rules)))
    state = WorkspaceState.open(settings)
    try:
        account = "https://account.blob.core.windows.net/data"
        assert addresses.resolve(state, f"{account}/a.csv?sv=1").read_text() == "here/a.csv"
        assert addresses.resolve(state, f"{account}/in/a.csv").read_text() == "inner/a.csv"
        for scheme, host in (("wasbs", "blob"), ("abfss", "dfs")):
            address = f"{scheme}://data@account.{host}.core.windows.net/in/a.csv"
            assert addresses.resolve(state, address).read_text() == "inner/a.csv"
            assert addresses.direct(state, address) == address
        for path in ("../secret.csv", "%2e%2e/secret.csv", "none.csv"):
            with pytest.raises(NotFound, match="leads to"):
                addresses.resolve(state, f"{account}/{path}")
        with pytest.raises(BadRequest, match="nothing is fetched from elsewhere"):
            addresses.check(state, "https://account.blob.core.windows.net/other/a.csv")
    finally:
        state.close()


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("from: x", "a list of rules"),
        ("- {from: 'https://x/'}", "`from` and `to`"),
        ("- {from: 'ftp://x/', to: fetch}", "does not begin with"),
        ("- {from: 'https://x/', to: ./missing}", "does not exist"),
        ("- {", "cannot be read"),
    ],
)
def test_wrong_rules_are_named(tmp_path: Path, rules: str, why: str) -> None:
    (tmp_path / "rules.yaml").write_text(rules)
    with pytest.raises(BadRules, match=why):
        read(str(tmp_path / "rules.yaml"))
