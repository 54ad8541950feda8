"""Blocks of uploads, in any order and however often: what is committed is what was listed, written once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azureml_local.errors import BadRequest, Conflict
from azureml_local.state.blob import BlobProperties
from azureml_local.state.blobs import Blobs
from azureml_local.state.blocks import Blocks
from azureml_local.state.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "workspace.sqlite")
    yield store
    store.close()


@pytest.fixture
def blocks(tmp_path: Path, store: Store) -> Callable[[], tuple[Blocks, Blobs]]:
    """What a server has of them; called again, what the next one has after kill -9."""
    uploads = tmp_path / "uploads"
    uploads.mkdir()

    def start() -> tuple[Blocks, Blobs]:
        blobs = Blobs(tmp_path / "blobs", uploads, store)
        blobs.create_container("c")
        return Blocks(uploads, blobs), blobs

    return start


def identity(offset: int) -> str:
    """The id that azure-storage-blob gives the block that begins there."""
    return encoded(quote(encoded(f"{offset:032d}")))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def stage(blocks: Blocks, block: str, data: bytes, name: str = "blob") -> None:
    writing = blocks.stage("c", name, block, len(data))
    writing.file.write(data)
    writing.keep()


def committed(blocks: Blocks, blobs: Blobs, listed: list[str], name: str = "blob") -> bytes:
    blocks.commit("c", name, listed, BlobProperties(), may_replace=lambda: True)
    with blobs.open("c", name) as file:
        return file.read()


ACTIONS = st.one_of(
    st.tuples(st.just("stage"), st.integers(0, 5), st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("cut off"), st.integers(0, 5), st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("restart"), st.just(0), st.just(b"")),
    st.tuples(st.just("commit"), st.permutations(range(6)), st.integers(0, 6)),
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=14), step=st.sampled_from([4, 9]), known=st.booleans())
def test_what_is_committed_is_what_was_listed(
    blocks: Callable[[], tuple[Blocks, Blobs]], actions: list[Any], step: int, known: bool
) -> None:
    """With ids that say where a block is to stand, rightly or not, and with others."""
    there, blobs = blocks()
    name = uuid4().hex
    ids = [identity(place * step) if known else encoded(f"block {place}") for place in range(6)]
    staged: dict[str, bytes] = {}
    for what, place, data in actions:
        if what == "stage":
            stage(there, ids[place], data, name)
            staged[ids[place]] = data
        elif what == "cut off":
            writing = there.stage("c", name, ids[place], len(data))
            writing.file.write(data[:-1])
            writing.release()
        elif what == "restart":
            there, blobs = blocks()
        else:
            listed = [ids[each] for each in place[:data]]
            if set(listed) <= staged.keys():
                assert committed(there, blobs, listed, name) == b"".join(staged[each] for each in listed)
                staged = {}
            else:
                with pytest.raises(BadRequest, match="was not uploaded"):
                    committed(there, blobs, listed, name)


def test_blocks_are_there_after_a_commit_that_is_refused(
    blocks: Callable[[], tuple[Blocks, Blobs]],
) -> None:
    there, blobs = blocks()
    for offset, data in ((0, b"one "), (4, b"two")):
        stage(there, identity(offset), data)
    listed = [identity(0), identity(4)]
    assert committed(there, blobs, listed) == b"one two"
    for offset, data in ((0, b"new "), (4, b"three")):
        stage(there, identity(offset), data)
    with pytest.raises(Conflict):
        there.commit("c", "blob", listed, BlobProperties(), may_replace=lambda: False)
    assert committed(there, blobs, listed) == b"new three"


def test_a_block_that_is_whole_only_after_the_commit_changes_nothing(
    blocks: Callable[[], tuple[Blocks, Blobs]],
) -> None:
    there, blobs = blocks()
    late = there.stage("c", "blob", identity(4), 4)
    stage(there, identity(0), b"one ")
    assert committed(there, blobs, [identity(0)]) == b"one "
    late.file.write(b"late")
    with pytest.raises(Conflict):
        late.keep()
    with blobs.open("c", "blob") as file:
        assert file.read() == b"one "
