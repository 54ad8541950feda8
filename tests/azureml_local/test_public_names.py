"""What a test suite may import from azureml_local, and what that costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import azureml_local


def test_the_public_names_are_these() -> None:
    assert azureml_local.__all__ == [
        "Address",
        "CannotServe",
        "LocalWorkspace",
        "Scenario",
        "Settings",
        "Stay",
        "__version__",
        "ask",
        "default_state",
        "environment",
        "joined",
        "serve",
    ]


def test_every_public_name_is_there_and_listed() -> None:
    for name in azureml_local.__all__:
        assert getattr(azureml_local, name) is not None
        assert name in dir(azureml_local)
    assert not hasattr(azureml_local, "nothing_of_the_kind")


def test_windows_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ImportError, match="use it in WSL 2"):
        importlib.reload(azureml_local)


def test_importing_the_package_imports_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import azureml_local; "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'azureml_local'}"
