"""The examples of the documentation, run as somebody runs them who has only the local workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.checkout import ROOT

EXAMPLES = ROOT / "examples"
CLI = [sys.executable, "-m", "azureml_local"]


def environment(state: Path) -> dict[str, str]:
    return {**os.environ, "AZUREML_LOCAL_STATE": str(state)}


def test_the_first_session_of_a_stranger(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "hello.py", tmp_path)
    variables = environment(tmp_path / "state")
    names = subprocess.run([*CLI, "config"], env=variables, check=True, capture_output=True)
    (tmp_path / "config.json").write_bytes(names.stdout)
    done = subprocess.run(
        [*CLI, "exec", "--", sys.executable, "hello.py"],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] in ("Completed", "JobStatus.COMPLETED")
    assert "trained" in done.stdout


def test_a_test_suite_of_a_stranger(tmp_path: Path) -> None:
    """A project of its own, with nothing of this one's settings."""
    shutil.copy(EXAMPLES / "test_with_local_workspace.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment(tmp_path / "state"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "1 passed" in done.stdout
