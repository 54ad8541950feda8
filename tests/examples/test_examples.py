"""The examples that no page types out are run as somebody runs them who has only the local workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.checkout import ROOT


def test_a_test_suite_of_a_stranger(tmp_path: Path) -> None:
    """A project of its own, with nothing of this one's settings."""
    shutil.copy(ROOT / "examples" / "test_with_local_workspace.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "AZUREML_LOCAL_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "1 passed" in done.stdout
