"""Programs in the documentation are those of examples/, or the worked examples, which apply and work."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import Block, blocks
from tests.support.checkout import ROOT

_NEW = re.compile(r"# (\S+): a new file")
_EDIT = re.compile(r"# (\S+): (after|before) `(.*)`")
_EXAMPLE = re.compile(r"# (examples/\S+)")
WORKED = [b for b in blocks("python") if _NEW.fullmatch(b.first) or _EDIT.fullmatch(b.first)]

# What the worked examples add, used: in a copy of the code to which they were applied.
USED = """
import flows.finetune
from flows.dashboard.table import COLUMNS
from flows.doctor.examination import CHECKS
from flows.run.report import RunReport
from tasks.azure.failure import Cause, Failure
from tasks.core.stages import Stage, in_order
from tasks.data.chat import problem
from tasks.data.row_filter import _well_formed
from tasks.job.parameters import ComponentInput, Parameters, merge
from tasks.proof import tag_as_proved
import polars as pl

assert in_order(["keep", "proof", "invoke"]) == ["invoke", "proof", "keep"]
assert tag_as_proved.name == "proof"

unfilled = [{"role": "user", "content": "Hello {{name}}"}, {"role": "assistant", "content": "Hello"}]
filled = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello"}]
assert "placeholder" in problem(unfilled) and problem(filled) is None
rows = pl.DataFrame({"messages": [unfilled, filled]})
assert rows.select(_well_formed()).to_series().to_list() == [False, True]

slots = {name: ComponentInput(type="string") for name in ("auto_find_batch_size", "apply_deepspeed")}
chosen = Parameters.model_validate({"optimisation": {"auto_find_batch_size": True, "apply_deepspeed": True}})
try:
    merge(chosen, {}, slots)
except Failure as failure:
    assert failure.cause is Cause.CONFIGURATION
else:
    raise AssertionError("both were accepted")

assert "jobs" in [check.name for check in CHECKS]
assert "answer_seconds" in RunReport.model_fields
assert "answered in" in [column.name for column in COLUMNS]
"""

# The same for the local workspace: a script under `azureml-local exec`.
USED_LOCALLY = """
import os
from pathlib import Path

import requests
from azure.identity import DefaultAzureCredential
from azureml_local import switch
from azureml_local.server import Address

url = os.environ["AZUREML_LOCAL_URL"]
token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
workspace = (
    f"{url}/subscriptions/{os.environ['AZURE_SUBSCRIPTION_ID']}/resourceGroups/"
    f"{os.environ['AZURE_RESOURCE_GROUP']}/providers/Microsoft.MachineLearningServices/workspaces/"
    f"{os.environ['AZUREML_WORKSPACE_NAME']}"
)

def call(method, path, **options):
    return requests.request(
        method, f"{workspace}/{path}", headers={"Authorization": f"Bearer {token}"},
        verify=os.environ["REQUESTS_CA_BUNDLE"], timeout=options.pop("timeout", 60), **options,
    )

state = {"status": "Approved", "description": "by hand"}
body = {"properties": {"privateLinkServiceConnectionState": state}}
made = call("PUT", "PrivateEndpointConnections/mine", json=body)
assert made.status_code == 200, made.text
assert made.json()["properties"]["privateLinkServiceConnectionState"] == state
listed = call("GET", "privateEndpointConnections").json()["value"]
assert [each["name"] for each in listed] == ["mine"]
assert call("DELETE", "privateEndpointConnections/mine").status_code == 200
assert call("GET", "privateEndpointConnections/mine").status_code == 404

state = Path(os.environ["AZUREML_LOCAL_STATE"])
rule = {"kind": "silence", "method": "PUT", "path": "privateEndpointConnections/silent"}
switch.ask(state, Address.read(state), "/admin/faults", {"faults": [rule]})
try:
    call("PUT", "privateEndpointConnections/silent", json=body, timeout=(60, 1))
except requests.exceptions.ReadTimeout:
    pass
else:
    raise AssertionError("the server answered")
assert call("GET", "privateEndpointConnections/silent").status_code == 200
"""


@pytest.mark.parametrize("block", [b for b in blocks("python") if b not in WORKED], ids=str)
def test_a_program_is_one_of_the_examples(block: Block) -> None:
    """tests/examples and test_as_written run them."""
    name = _EXAMPLE.fullmatch(block.first)
    assert name, "begin it with the name of a file in examples/"
    text = (ROOT / name[1]).read_text(encoding="utf-8")
    assert block.text.partition("\n")[2].strip() == text.strip()


@pytest.mark.parametrize("block", WORKED, ids=str)
def test_a_new_file_compiles(block: Block) -> None:
    if _NEW.fullmatch(block.first):
        ast.parse(block.text)


@pytest.mark.slow
def test_the_worked_examples_apply_and_work(tmp_path: Path) -> None:
    for room in ("flows", "tasks", "azureml_local"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    for block in WORKED:
        apply(block, tmp_path)
    run(tmp_path, "-c", USED)
    script = tmp_path / "use.py"
    script.write_text(USED_LOCALLY, encoding="utf-8")
    run(tmp_path, "-m", "azureml_local", "exec", "--", sys.executable, str(script))


def apply(block: Block, root: Path) -> None:
    """Make the block's change: a new file, or lines beside the one line that it names."""
    _, _, lines = block.text.partition("\n")
    if new := _NEW.fullmatch(block.first):
        file = root / new[1]
        assert not file.exists(), file
        file.write_text(lines + "\n", encoding="utf-8")
        return
    edit = _EDIT.fullmatch(block.first)
    assert edit is not None
    file, anchor = root / edit[1], edit[3]
    text = file.read_text(encoding="utf-8").splitlines()
    (at,) = (number for number, line in enumerate(text) if line.strip() == anchor)
    at += edit[2] == "after"
    file.write_text("\n".join([*text[:at], lines, *text[at:]]) + "\n", encoding="utf-8")


def run(root: Path, *arguments: str) -> None:
    """Run Python where the copy comes before the checkout."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "azureml_local" / "src")]),
        "AZUREML_LOCAL_STATE": str(root / "state"),
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
