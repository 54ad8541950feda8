"""Scoring scripts: what their run() is given, and what of it comes back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from azureml_local.serving import app
from azureml_local.serving.script import ScriptScorer

Load = Callable[[str], TestClient]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """A client of the model server's routes over a script, whose imports are forgotten afterwards."""
    modules, paths = set(sys.modules), list(sys.path)

    def client(source: str) -> TestClient:
        (tmp_path / "score.py").write_text("def init():\n    pass\n" + source)
        return TestClient(app.create(ScriptScorer(tmp_path / "score.py")))

    yield client
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        del sys.modules[name]


RAW = """
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse

@rawhttp
def run(request):
    assert isinstance(request, AMLRequest)
    if request.method == "GET":
        return AMLResponse(request.args["name"].encode(), 203, {"Content-Type": "image/x", "X-Own": "1"})
    return AMLResponse({"bytes": len(request.get_data()), "type": request.content_type}, 200, json_str=True)
"""


def test_a_script_gets_the_request_itself_and_answers_bytes(load: Load) -> None:
    client = load(RAW)
    picture = client.get("/score?name=a%20b")
    assert (picture.status_code, picture.content) == (203, b"a b")
    assert picture.headers["content-type"] == "image/x"
    assert (picture.headers["x-own"], picture.headers["x-ms-run-function-failed"]) == ("1", "False")
    posted = client.post("/score", content=b"\x89\xff\x00", headers={"content-type": "image/png"})
    assert posted.json() == {"bytes": 3, "type": "image/png"}


# What of the package inference-schema the server asks: it cannot be installed beside wrapt 2.
SCHEMA = """
def is_schema_decorated(function):
    return getattr(function, "decorated", False)
"""


@pytest.fixture
def schema(tmp_path: Path) -> None:
    (tmp_path / "inference_schema").mkdir()
    (tmp_path / "inference_schema" / "__init__.py").touch()
    (tmp_path / "inference_schema" / "schema_util.py").write_text(SCHEMA)


BY_NAME = """
import inference_schema.schema_util

def run(data, factor=2, request_headers=None):
    return [each * factor for each in data] + [request_headers["X-Mine"]]

run.decorated = True
"""


def test_a_script_with_a_schema_gets_the_fields_by_name(load: Load, schema: None) -> None:
    client, mine = load(BY_NAME), {"x-mine": "m"}
    assert client.post("/score", json={"data": [1, 2], "more": 0}, headers=mine).json() == [2, 4, "m"]
    assert client.post("/score", json={"data": [1], "factor": 5}, headers=mine).json() == [5, "m"]
    assert client.get("/score?data=[3]&factor=1", headers=mine).json() == [3, "m"]
    for body, kind, status in (
        ('{"factor": 1}', "application/json", 400),
        ("[1]", "application/json", 400),
        ("{", "application/json", 400),
        ("{}", "text/plain", 415),
    ):
        refused = client.post("/score", content=body, headers={"content-type": kind})
        assert refused.status_code == status, body


def test_a_script_without_decorators_gets_text(load: Load) -> None:
    client = load("def run(anything):\n    return anything\n")
    assert client.post("/score", content="{ä", headers={"content-type": "text/plain"}).json() == "{ä"
    assert client.get("/score?a=1&b=x&b=[2]").json() == '{"a": 1, "b": ["x", [2]]}'
    assert client.post("/score", content=b"\xff").status_code == 400
    assert client.put("/score", content="").status_code == 405


def test_a_run_that_takes_nothing_does_not_start(load: Load) -> None:
    with pytest.raises(TypeError, match="needs a parameter"):
        load("def run(request_headers):\n    pass\n")
