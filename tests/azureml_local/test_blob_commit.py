"""A blob that is replaced: whenever the server dies, it is whole, the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from azureml_local.settings import Scenario, Settings
from azureml_local.state.blob import BlobProperties
from azureml_local.state.workspace import WorkspaceState

NEW = BlobProperties(metadata={"which": "new"}, content_type="text/new", content_md5="bmV3")
OLD = BlobProperties(metadata={"which": "old"}, content_type="text/old", content_md5="b2xk")


class Killed(BaseException):
    """Nothing catches it, as nothing runs after kill -9."""


@pytest.fixture(params=[False, True], ids=["usual", "durable"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkspaceState]:
    opened = WorkspaceState.open(Settings(tmp_path / "state", 0, scenario=Scenario(durable=request.param)))
    opened.blobs.create_container("c")
    yield opened
    opened.close()


def put(state: WorkspaceState, content: str, properties: BlobProperties) -> None:
    with state.blobs.staged() as staged:
        staged.write_text(content)
        state.blobs.commit("c", "folder/name", staged, properties)


def seen(state: WorkspaceState) -> tuple[str, BlobProperties]:
    with state.blobs.open("c", "folder/name") as file:
        return file.read().decode(), state.blobs.get("c", "folder/name").properties


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_blob_is_whole_when_the_server_dies_at_its_rename(
    state: WorkspaceState, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    put(state, "older", NEW)
    put(state, "old", OLD)
    rename = os.replace

    def die(source: Path, target: Path) -> None:
        if when == "after":
            rename(source, target)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("azureml_local.state.blobs.os.replace", die)
        with pytest.raises(Killed):
            put(state, "new", NEW)
    assert seen(state) == (("old", OLD) if when == "before" else ("new", NEW))
    put(state, "newer", OLD)
    assert seen(state) == ("newer", OLD)


def test_metadata_is_whole_when_the_server_dies_at_its_change(
    state: WorkspaceState, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(state, "old", OLD)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("azureml_local.state.blobs.os.utime", die)
        with pytest.raises(Killed):
            state.blobs.set_metadata("c", "folder/name", {"which": "new"})
    assert seen(state) == ("old", OLD)
    state.blobs.set_metadata("c", "folder/name", {"which": "new"})
    assert seen(state)[1].metadata == {"which": "new"}


def test_what_a_job_writes_by_path_has_no_properties(state: WorkspaceState) -> None:
    put(state, "old", OLD)
    state.blobs.path("c", "folder/name").write_text("a job's")
    assert seen(state) == ("a job's", BlobProperties())
