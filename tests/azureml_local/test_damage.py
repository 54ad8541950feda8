"""A state whose files were damaged: each is named in one line, with what to do about it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from azureml_local import certificates, switch
from azureml_local.execution.workspace import Workspace
from azureml_local.server import Address, CannotServe, serve
from azureml_local.settings import Settings
from azureml_local.state.stay import Stay
from azureml_local.wire import app


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state as a server has left it."""
    state = tmp_path_factory.mktemp("sound") / "state"
    workspace = Workspace.open(Settings(state, 0))
    certificates.ensure(workspace.settings)
    app.create(workspace)
    workspace.close()
    return state


def _in_documents(state: Path, statement: str) -> None:
    with closing(sqlite3.connect(state / "workspace.sqlite")) as database, database:
        assert database.execute(statement).rowcount > 0


def _json(state: Path, statement: str) -> None:
    _in_documents(state, f"UPDATE documents SET body = {statement} WHERE kind = 'datastores'")


JOB = """INSERT INTO documents VALUES ('jobs', 'j', 'j', '{"number": 1, "root": "j"}')"""
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "database": (lambda state: (state / "workspace.sqlite").write_bytes(b"not one" * 100), "Cannot use"),
    "no json": (lambda state: _json(state, "'{'"), "is no JSON object"),
    "no object": (lambda state: _json(state, "'[1]'"), "is no JSON object"),
    "field less": (lambda state: _in_documents(state, JOB), "the document 'j' .* has no field 'name'"),
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


def test_files_that_are_made_again_may_be_damaged(sound: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    shutil.copytree(sound, state)
    for name in ("server.json", "stay.json", "port", "proxy-port"):
        (state / name).write_text("{")
    assert Stay.read(state) is None
    with switch.joined(state):
        assert Address.read(state) is not None
