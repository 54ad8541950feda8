"""A state whose files were damaged: each is named in one line, with what to do about it."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from azureml_local import certificates, switch
from azureml_local.execution.workspace import Workspace
from azureml_local.server import Address, CannotServe, serve
from azureml_local.settings import Settings
from azureml_local.state import damage, documents
from azureml_local.state.stay import Stay
from azureml_local.state.store import Store
from azureml_local.wire import app


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state as a server has left it."""
    state = tmp_path_factory.mktemp("sound") / "state"
    workspace = Workspace.open(Settings(state, 0))
    certificates.ensure(workspace.settings)
    app.create(workspace)
    workspace.close()
    for name in ("mlflow.sqlite", "mlflow.empty"):  # as far as the server looks at them
        with closing(sqlite3.connect(state / name)) as database:
            database.executescript("CREATE TABLE runs (x); CREATE TABLE metrics (x)")
    return state


def _in_documents(state: Path, statement: str) -> None:
    with closing(sqlite3.connect(state / "workspace.sqlite")) as database, database:
        assert database.execute(statement).rowcount > 0


def _in_runs(state: Path, statement: str) -> None:
    with closing(sqlite3.connect(state / "mlflow.sqlite")) as database, database:
        database.execute(statement)


def _json(state: Path, statement: str) -> None:
    _in_documents(state, f"UPDATE documents SET body = {statement} WHERE kind = 'datastores'")


JOB = """INSERT INTO documents VALUES ('jobs', 'j', 'j', '{"number": 1, "root": "j"}')"""
NESTED = "json_remove(body, '$.properties.datastoreType')"
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "database": (
        lambda state: (state / "workspace.sqlite").write_bytes(b"not one" * 100),
        "Restore the file",
    ),
    "no json": (lambda state: _json(state, "'{'"), "is no JSON object"),
    "no object": (lambda state: _json(state, "'[1]'"), "is no JSON object"),
    "field less": (lambda state: _in_documents(state, JOB), "the document 'j' .* has no field 'name'"),
    "nested": (lambda state: _json(state, NESTED), "has no field 'properties.datastoreType'"),
    "no container": (
        lambda state: _json(state, """json_set(body, '$.properties', 'none')"""),
        "has no object in its field 'properties'",
    ),
    "runs": (lambda state: (state / "mlflow.sqlite").write_bytes(b"not one" * 100), "delete the file"),
    "no runs": (lambda state: (state / "mlflow.sqlite").write_bytes(b""), "it has no table"),
    "no table": (
        lambda state: _in_runs(state, "DROP TABLE metrics"),
        "mlflow.sqlite is damaged: it has no table metrics",
    ),
    "no secrets": (lambda state: (state / "secrets.json").write_text(""), "Delete it"),
    "secret less": (lambda state: (state / "secrets.json").write_text('{"admin": "x"}'), "Delete it"),
    "secret more": (
        lambda state: (state / "secrets.json").write_text(
            '{"admin": "x", "identity_header": "x", "signing_key": "x", "more": 1}'
        ),
        "Delete it",
    ),
    "no certificate": (lambda state: (state / "tls" / "server.pem").write_text(""), "certificates cannot"),
    "no authority": (lambda state: (state / "tls" / "ca.pem").write_text(""), "certificates cannot"),
    "no key": (
        lambda state: (state / "tls" / "server.pem").write_text((state / "tls" / "ca.pem").read_text()),
        "certificates cannot",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_what_to_do(sound: Path, tmp_path: Path, damage: str) -> None:
    state = tmp_path / "state"
    shutil.copytree(sound, state)
    break_it, why = DAMAGES[damage]
    break_it(state)
    with pytest.raises(CannotServe, match=why) as raised:
        serve(Settings(state, 0), ready=lambda _: pytest.fail("it serves"))
    assert "\n" not in str(raised.value)
    assert str(state) in str(raised.value)


DOCUMENTS = {
    "datastores": ("d", "/datastores/d"),
    "schedules": ("s", "/schedules/s"),
    "computes": ("c", "/computes/c"),
    "onlineEndpoints": ("e", "/onlineEndpoints/e"),
    "models": ("m/1", "/models/m/versions/1"),
    "jobs": ("j", "/jobs/j"),
}


@pytest.fixture
def opened(sound: Path, tmp_path: Path) -> Iterator[tuple[Workspace, TestClient]]:
    """A workspace, and a client that may do everything in it."""
    state = tmp_path / "state"
    shutil.copytree(sound, state)
    workspace = Workspace.open(Settings(state, 0))
    token, _ = workspace.tokens.issue("https://management.azure.com")
    client = TestClient(app.create(workspace), headers={"Authorization": f"Bearer {token}"})
    yield workspace, client
    workspace.close()


def test_a_request_for_a_damaged_document_is_answered_with_its_name_and_what_to_do(
    opened: tuple[Workspace, TestClient],
) -> None:
    workspace, client = opened
    rows = [(kind, key, key, "{}") for kind, (key, _) in DOCUMENTS.items()]
    with closing(sqlite3.connect(workspace.settings.database_path)) as database, database:
        database.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", rows)
    at, remedies = workspace.settings.workspace_arm_id, []
    for kind, (key, path) in DOCUMENTS.items():
        answer = client.get(at + path)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (500, "DamagedState"), path
        assert f"the document '{key}' of the kind {kind} has no field" in error["message"]
        remedies.append(shlex.split(error["message"].partition("give that document up: ")[2]))
    assert client.get(f"{at}/datastores/workspaceblobstore").status_code == 200
    assert client.get(f"{at}/environments").status_code == 200
    for (program, file, statement), (_, path) in zip(remedies, DOCUMENTS.values(), strict=True):
        assert program == "sqlite3"
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(statement)
        assert client.get(at + path).status_code == 404


def test_every_kind_of_typed_documents_is_checked() -> None:
    source = Path(inspect.getsourcefile(documents) or "").read_text()
    typed = {
        name
        for name, form in re.findall(r"^([A-Z_]+) = Kind\[(\w+)\]\(", source, re.MULTILINE)
        if form != "Json"
    }
    assert typed
    unchecked = [name for name in typed if getattr(documents, name).name not in damage.FORMS]
    assert not unchecked, "add them to FORMS of state/damage.py"


def test_runs_that_are_damaged_are_said_to_be_by_mlflows_routes(
    opened: tuple[Workspace, TestClient],
) -> None:
    workspace, client = opened
    runs = workspace.settings.state / "mlflow.sqlite"
    with closing(sqlite3.connect(runs)) as database, database:
        database.executemany("INSERT INTO runs VALUES (?)", [("x" * 3000,)] * 50)
    pages = bytearray(runs.read_bytes())
    pages[8 * 4096 :] = bytes(len(pages) - 8 * 4096)
    runs.write_bytes(pages)
    path = f"/mlflow/v2.0{workspace.settings.workspace_arm_id}/api/2.0/mlflow/runs/get?run_id=r"
    error = client.get(path).json()["error"]
    assert error["code"] == "DamagedState"
    assert str(runs) in error["message"]
    assert "delete the file" in error["message"]


def test_a_page_of_the_database_that_is_damaged_while_it_is_open_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store(path)
    for number in range(200):
        store.put(documents.SEEDS, f"{number}", {"x": "y" * 1000})
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 100)
    for read_or_write in (lambda: store.list(documents.SEEDS), lambda: store.put(documents.SEEDS, "1", {})):
        with pytest.raises(damage.DamagedState, match="malformed.* Restore the file from a copy"):
            read_or_write()
    store.close()


@pytest.mark.slow
def test_files_that_are_made_again_may_be_damaged(sound: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(sound, state)
    for name in ("server.json", "stay.json", "port", "proxy-port"):
        (state / name).write_text("{")
    assert Stay.read(state) is None
    with switch.joined(state):
        assert Address.read(state) is not None


def test_a_database_that_can_be_made_again_is_when_it_is_damaged(tmp_path: Path) -> None:
    made = tmp_path / "mlflow.sqlite"
    assert not damage.is_sound(made)
    for content in (b"", b"not one" * 100):
        made.write_bytes(content)
        assert not damage.is_sound(made)
    made.unlink()
    with closing(sqlite3.connect(made)) as database:
        database.execute("CREATE TABLE alembic_version (x)")
    assert damage.is_sound(made)
    made.write_bytes(made.read_bytes()[:4096])  # the table's page is lost
    assert not damage.is_sound(made)
