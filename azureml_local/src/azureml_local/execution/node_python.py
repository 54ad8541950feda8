"""The Python of the machine that stands for a node: the server's own, or one that `--node-python` names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PATIENCE = 30.0  # seconds, for a Python that starts from a slow disk


class BadPython(ValueError):
    """What was named cannot run jobs; the message says why and what to do."""


def check(python: Path) -> None:
    """Raise BadPython for anything but a Python beside which there is a program `python`.

    Jobs' commands call it by that name, and would get another one.
    """
    if python.is_dir():
        raise _bad(python, f"it is a folder: name the program in it, such as {python / 'bin' / 'python'}")
    if not os.access(python, os.X_OK):
        raise _bad(python, "there is no such program")
    try:
        found = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[0])"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _bad(python, f"it does not run: {error}") from error
    if found.returncode or found.stdout.strip() != "3":
        said = " ".join((found.stderr or found.stdout).split())
        raise _bad(python, f"it is no Python 3, or a broken one ({said or found.returncode})")
    if not (python.parent / "python").exists():
        raise _bad(python, "it has no `python` beside it, which jobs call: name a virtual environment's")


def _bad(python: Path, why: str) -> BadPython:
    return BadPython(f"--node-python {python} cannot run jobs: {why}.")
