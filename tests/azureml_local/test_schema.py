"""The state's form has a number: what is older is brought to it, what is newer is refused."""

from __future__ import annotations

import sqlite3
from importlib import metadata
from pathlib import Path

import pytest

from azureml_local.state.document import Json, Kind
from azureml_local.state.schema import NewerState
from azureml_local.state.store import Store
from tests.azureml_local.test_cli import refusal

_KIND = Kind[Json]("things")


def number(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(found)


def renumbered(path: Path, form: int, writer: str) -> None:
    """What a later version would leave behind."""
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {form}")
        connection.execute(
            "UPDATE documents SET body = ? WHERE kind = 'state'", (f'{{"version": "{writer}"}}',)
        )
    connection.close()


def test_a_state_without_a_number_keeps_its_documents(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    store = Store(path)
    store.put(_KIND, "a/b", {"kept": True})
    store.close()
    renumbered(path, 0, "0.1.0")
    store = Store(path)
    assert store.get(_KIND, "a/b") == {"kept": True}
    store.close()
    assert number(path) == 1


@pytest.mark.slow
def test_a_newer_state_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "workspace.sqlite"
    Store(path).close()
    renumbered(path, 99, "7.8.9")
    with pytest.raises(NewerState) as raised:
        Store(path)
    assert "written by azureml-local 7.8.9" in str(raised.value)
    assert metadata.version("azureml-local") in str(raised.value)
    assert "Update azureml-local" in refusal("up", "--state", tmp_path)
    assert number(path) == 99
