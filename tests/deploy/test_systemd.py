"""The units for systemd: what they start takes these arguments, and secrets are in files of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.stem))
def test_a_unit_starts_something_that_takes_its_arguments(unit: Path) -> None:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit, encoding="utf-8")
    service = parser["Service"]
    assert service["User"] != "root"
    assert service["EnvironmentFile"].startswith("/etc/finetune/")
    assert "auth" not in service.get("Environment", "").casefold()
    program, *arguments = service["ExecStart"].split()
    assert program == f"{service['WorkingDirectory']}/.venv/bin/prefect"
    commands = [word for word in arguments if not word.startswith("-")][:2]
    options = {word for word in arguments if re.match("--", word)} - {"--no-prompt"}
    asked = [sys.executable, "-m", "prefect", *commands, "--help"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert all(option in said for option in options)
