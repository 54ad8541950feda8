"""The tutorial under exec: the program of a stranger, who knows nothing of the local workspace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import CHILDREN, ROOT
from tests.support.processes import of_state
from tests.support.waiting import PATIENCE

HERE = ROOT / "examples" / "tutorial"
CLI = [sys.executable, "-m", "azureml_local"]
PYTHON = f"{sys.executable} -W ignore"
MODEL = "SmolLM2-135M-Instruct"
RETIRED = "Phi-3-mini-4k-instruct"
# As the tutorial's script looks for its base model.
NEWEST = """\
import sys
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential
registry = MLClient(DefaultAzureCredential(), registry_name="azureml")
print("newest version:", registry.models.get(sys.argv[1], label="latest").version)
"""


def run(state: Path, folder: Path, *commands: str, options: tuple[str, ...] = (), expected: int = 0) -> str:
    """Run the commands in the folder, one after the other, under one `azureml-local exec`; what they said."""
    # Of the environment only what a shell has: nothing that another test has set for Azure's clients.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [*CLI, "exec", "--state", str(state), *options, "--", "sh", "-ec", "\n".join(commands)],
        cwd=folder,
        env={**environment, "PYTHONPATH": f"{ROOT}:{CHILDREN}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    said = done.stdout[-2000:] + done.stderr[-4000:]
    assert done.returncode == expected, said
    return said


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    """With a component that takes a second; of what is trained nothing here depends on the registry's own."""
    state, folder = tmp_path / "state", tmp_path / "work"
    folder.mkdir()
    (folder / "config.json").write_text(subprocess.check_output([*CLI, "config"], text=True))
    run(
        state,
        folder,
        f"{PYTHON} {HERE / 'register.py'} {HERE / 'pipeline.yaml'}",
        f"{PYTHON} {HERE / 'script.py'} quick_chat_pipeline {MODEL}",
    )
    assert of_state(state) == []
    seen: dict[str, Any] = json.loads((folder / "seen.json").read_text())

    assert seen["token"] is True
    assert seen["base"] == f"azureml://registries/azureml/models/{MODEL}/versions/1"
    assert seen["cluster was there"] is False
    assert seen["cluster"][0] == "Succeeded"
    assert seen["job"] == ["Completed", "tutorial", "chat_completion_tutorial"]
    assert seen["metrics"] == {"epoch": 1.0, "eval_loss": 0.0}
    assert seen["runs"] == 4  # the job, its node, the component's own pipeline, and the step in that
    assert seen["model"][0] == f"{MODEL}-tutorial"
    assert seen["model"][2] is True, "the model does not know its job"
    assert (folder / "down" / "artifacts" / "logs" / "azureml" / "executionlogs.txt").is_file()
    assert (folder / "down" / f"{MODEL}-tutorial" / "model" / "MLmodel").is_file()
    assert seen["answer"] == {"output": "Nothing at all."}
    assert seen["plain"] == [200, seen["answer"]]
    assert "POST /score" in seen["logs"]
    assert seen["endpoint afterwards"] == 404


@pytest.mark.slow
def test_the_tutorials_own_model_is_there_as_of_a_day_before_it_was_archived(tmp_path: Path) -> None:
    options = ("--as-of", "2026-05-01")
    said = run(tmp_path / "state", tmp_path, f"{PYTHON} -c '{NEWEST}' {RETIRED}", options=options)
    assert "newest version: 15" in said


@pytest.mark.slow
def test_since_its_model_was_archived_the_tutorial_ends_at_the_label(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "config.json").write_text(subprocess.check_output([*CLI, "config"], text=True))
    script = f"{PYTHON} {HERE / 'script.py'} chat_completion_pipeline {RETIRED}"
    said = run(tmp_path / "state", folder, script, expected=1)
    assert f"Asset {RETIRED} does not exist" in said
