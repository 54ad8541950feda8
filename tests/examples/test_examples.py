"""The examples that no page types out are run as somebody runs them who has only the local workspace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.checkout import ROOT

SUITE = ROOT / "examples" / "suite"


@pytest.mark.slow
def test_a_test_suite_of_a_stranger(tmp_path: Path) -> None:
    """A project of its own, with nothing of this one's settings: twenty tests, one workspace."""
    shutil.copytree(SUITE, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "AZUREML_LOCAL_STATE": str(tmp_path / "not used")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "20 passed" in done.stdout
    assert not (tmp_path / "not used").exists()


def test_its_container_and_its_workflow_install_this_version() -> None:
    with (ROOT / "azureml_local" / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    workflow = yaml.safe_load((SUITE / "github-workflow.yaml").read_text(encoding="utf-8"))
    runs = [step.get("run", "") for step in workflow["jobs"]["test"]["steps"]]
    for text in ((SUITE / "Dockerfile").read_text(encoding="utf-8"), "\n".join(runs)):
        assert re.findall(r"pip install (?:--no-cache-dir )?azureml-local==(\S+)", text) == [version]
        assert "pytest" in text
