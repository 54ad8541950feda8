"""`--node-python`: what cannot run jobs is refused in a line when the workspace starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from azureml_local.execution import node_python
from azureml_local.server import CannotServe, serve
from azureml_local.settings import Scenario, Settings


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_virtual_environments_python_is_taken(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "python3").symlink_to(sys.executable)
    node_python.check(tmp_path / "python3")


def test_what_cannot_run_jobs_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "python3").symlink_to(sys.executable)
    (tmp_path / "text").write_text("")
    for path, why in (
        (tmp_path, "it is a folder: name the program in it"),
        (tmp_path / "missing", "there is no such program"),
        (tmp_path / "text", "there is no such program"),
        (program(tmp_path / "empty", ""), "it does not run|it is no Python 3"),
        (
            program(tmp_path / "broken", "#!/bin/sh\necho 'no module\nencodings' >&2; exit 1\n"),
            "no module encod",
        ),
        (program(tmp_path / "two", "#!/bin/sh\necho 2\n"), "it is no Python 3"),
        (tmp_path / "other" / "python3", "it has no `python` beside it"),
    ):
        with pytest.raises(node_python.BadPython, match=why) as raised:
            node_python.check(path)
        assert str(raised.value).startswith(f"--node-python {path} cannot run jobs: ")
        assert "\n" not in str(raised.value)


def test_the_workspace_does_not_start_with_it(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "state", 0, scenario=Scenario(node_python=tmp_path / "missing"))
    with pytest.raises(CannotServe, match="there is no such program"):
        serve(settings, ready=lambda _: pytest.fail("it serves"))
