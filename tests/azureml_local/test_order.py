"""Lists of thousands: a page is read from an index, and no more of it than is shown."""

from __future__ import annotations

import base64
import gzip
import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import requests
from azure.identity import DefaultAzureCredential
from hypothesis import given
from hypothesis import strategies as st

from azureml_local.settings import Settings
from azureml_local.state import documents
from azureml_local.state.document import Json, Kind
from azureml_local.state.documents import ROOT_JOBS, assets, by_age, by_number, orders
from azureml_local.state.job_documents import JobDocument
from azureml_local.state.order import Order
from azureml_local.state.store import Store, _select
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE

MODELS: Kind[Any] = assets("models")
JOBS: Kind[Any] = documents.JOBS
THINGS = Kind[Json]("things")
Ask = Callable[..., requests.Response]


def _made(moment: str) -> Json:
    return {"createdAt": moment, "createdBy": "somebody"}


def job(name: str, number: int, parent: str | None = None) -> JobDocument:
    """A job's document that says no more than it must."""
    return {
        "name": name,
        "root": parent or name,
        "parent": parent,
        "step": "",
        "children": [],
        "number": number,
        "request": {},
        "seed": "",
        "properties": {
            "status": "Completed",
            "jobType": "Command",
            "experimentName": "e",
            "displayName": name,
            "tags": {},
            "properties": {},
            "outputs": {},
        },
        "created": "2026",
        "started": None,
        "ended": None,
        "error": None,
        "cancel": False,
        "hidden": False,
        "leases": [],
    }


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that the tests clear: to open another takes longer than most of them."""
    store = Store(tmp_path_factory.mktemp("order") / "store.sqlite")
    yield store
    store.close()


@pytest.fixture
def store(opened: Store) -> Store:
    opened.clear()
    return opened


@pytest.mark.parametrize("order", orders(), ids=lambda order: order.name)
@pytest.mark.parametrize("after", [None, (7, "x")], ids=["first", "following"])
@pytest.mark.parametrize("descending", [True, False], ids=["newest", "oldest"])
def test_a_page_is_looked_up_in_an_index_and_not_sorted(
    store: Store, order: Order[Any], after: tuple[int, str] | None, descending: bool
) -> None:
    query = _select(order, after, descending=descending)
    values = ("", *((after[0], *after) if after else ()), 100)
    (*_, plan), *others = store._connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()
    assert not others, "more than the look-up, such as a sort"
    looked_up = f"USING INDEX {order.name}"
    assert looked_up in plan
    if after is not None or order.group:
        assert plan.startswith("SEARCH"), "the index is read from its beginning"


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("aAbB"), st.integers(0, 5)), max_size=30), st.randoms())
def test_every_way_to_cut_an_order_into_pages_gives_the_same_list(
    opened: Store, made: list[tuple[str, int]], chance: random.Random
) -> None:
    store = opened
    store.clear()
    for number, (name, moment) in enumerate(made):
        version = {"name": name, "version": str(number), "systemData": _made(f"{moment:04d}")}
        store.put(MODELS, f"{name}/{number}", {**version, "properties": {}})
    for read, backwards in ((store.newest, True), (store.oldest, False)):
        expected = sorted(
            ((f"{moment:04d}", f"a/{number}") for number, (name, moment) in enumerate(made) if name in "aA"),
            reverse=backwards,
        )
        found: list[Any] = []
        while len(found) < len(expected):
            after = found[-1] if found else None
            found += [p for p, _ in islice(read(by_age(MODELS), "A", after=after), chance.randint(1, 7))]
        assert found == expected
        assert list(read(by_age(MODELS), "a", after=found[-1] if found else (0, ""))) == []


def test_more_documents_than_are_read_at_once_come_whole_and_in_order(store: Store) -> None:
    numbers = list(range(1000))
    with store.transaction():
        for number in random.Random(1).sample(numbers, len(numbers)):
            store.put(JOBS, f"job-{number}", job(f"job-{number}", number))
        store.put(JOBS, "a-step", job("a-step", 5000, parent="job-1"))
    assert [place[0] for place, _ in store.newest(ROOT_JOBS)] == numbers[::-1]


@pytest.mark.parametrize(
    ("versions", "following"),
    [
        ([], None),
        (["1", "9", "10"], "10"),
        (["2", "1.5", "v7", "2024-01-01"], "2"),
        (["v1"], None),
        (["0", "007"], "007"),
        (["99999999999999999999", "100000000000000000000"], "100000000000000000000"),
    ],
)
def test_the_last_version_by_number_is_so_at_any_length(
    store: Store, versions: list[str], following: str | None
) -> None:
    for version in versions:
        given_ = {"name": "m", "version": version, "systemData": _made("2026"), "properties": {}}
        store.put(MODELS, f"m/{version}", given_)
    last = store.last(by_number(MODELS), "M")
    assert (last and last["version"]) == following


def test_names_come_once_each_whatever_characters_they_have(store: Store) -> None:
    names = ["a", "a-b", "a.b", "a0", "a_b", "Ab", "b"]
    for name in names:
        for version in ("1", "2", "10"):
            store.put(MODELS, f"{name}/{version}", {"name": name})
    found = list(store.first_parts(MODELS))
    assert sorted(found) == sorted(names)
    for number, name in enumerate(found):
        assert list(store.first_parts(MODELS, name)) == found[number + 1 :]


def test_names_that_are_read_by_and_by_are_those_of_the_whole_list(store: Store) -> None:
    for number in range(300):  # more than twice what is read at once
        store.put(THINGS, f"Node-{number}", {})
    store.put(THINGS, "other", {})
    whole = store.list(THINGS, "Node-")
    assert len(whole) == 300
    assert list(store.by_name(THINGS, "Node-")) == whole
    assert list(store.by_name(THINGS, "Node-", after=whole[99][0])) == whole[100:]


@pytest.fixture
def ask(server: LocalServer, environment: dict[str, str]) -> Ask:
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    workspace = Settings(server.state, 0).workspace_arm_id

    def send(path: str, method: str = "GET", body: Any = None, **query: Any) -> requests.Response:
        return requests.request(
            method,
            path if path.startswith("https:") else f"{server.url}{workspace}/{path}",
            params={} if path.startswith("https:") else {"api-version": "2024-04-01", **query},
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )

    return send


@pytest.fixture
def versions(ask: Ask) -> list[str]:
    """Of a data asset named many, the newest first: more than a page."""
    made = [str(number) for number in range(1, 131)]
    for version in made:
        asset = {"dataType": "uri_file", "dataUri": "azureml://datastores/workspaceblobstore/paths/x"}
        answer = ask(f"data/many/versions/{version}", "PUT", {"properties": asset})
        assert answer.ok, answer.text
    return made[::-1]


def _names(ask: Ask, answer: requests.Response) -> list[str]:
    assert answer.ok, answer.text
    found = [each["name"] for each in answer.json()["value"]]
    following = answer.json().get("nextLink")
    return found + (_names(ask, ask(following)) if following else [])


def test_skip_says_where_a_list_begins_and_top_where_it_ends(ask: Ask, versions: list[str]) -> None:
    many = "data/many/versions"
    assert _names(ask, ask(many)) == versions
    assert _names(ask, ask(many, **{"$orderBy": "createdtime asc"})) == versions[::-1]
    for skip, top in [(0, 0), (0, 5), (0, 100), (0, 101), (120, 100), (7, 110), (130, 1), (500, 1)]:
        found = _names(ask, ask(many, **{"$skip": skip, "$top": top}))
        assert found == versions[skip : skip + top], (skip, top)


@pytest.mark.parametrize(
    "position",
    ["no JSON", "[]", "[1]", "[1, 2, 3]", '[true, "x", null]', '["a", "b", -1]', '[9e99, "b", 1]']
    + [f'[{2**70}, "b", 1]', '["\\ud800", "b", 1]', '["a", "\\ud800", 1]', "[" * 5000, '["a", "b", {}]'],
)
def test_a_token_that_this_list_did_not_give_is_refused(ask: Ask, position: str) -> None:
    token = base64.urlsafe_b64encode(gzip.compress(position.encode())).decode()
    for path in ("jobs", "computes", "data", "data/many/versions"):
        answer = ask(path, **{"$skipToken": token})
        assert answer.status_code == 400, answer.text
        assert "not one of this list's" in answer.text


def test_a_name_without_versions_is_listed_after_the_others(ask: Ask) -> None:
    asset = {"dataType": "uri_file", "dataUri": "azureml://datastores/workspaceblobstore/paths/x"}
    assert ask("data/with-versions/versions/1", "PUT", {"properties": asset}).ok
    for name in ("with-versions", "a-name-alone", "another-alone"):
        assert ask(f"data/{name}", "PUT", {"properties": {"dataType": "uri_file"}}).ok
    found = _names(ask, ask("data"))
    assert len(found) == len(set(found))
    assert found[-2:] == ["a-name-alone", "another-alone"]
    assert "with-versions" in found[:-2]
    for name in ("a-name-alone", "another-alone"):
        assert ask(f"data/{name}", "DELETE").ok
