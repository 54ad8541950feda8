"""What a deployment is made with: a build step of prefect.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.run.config import load, names


def checked() -> dict[str, Any]:
    """The step's outputs: `clone`, the directory deployed from; raises Failure for a recipe that is none."""
    for name in names():
        load(name)
    return {"clone": str(Path.cwd().resolve())}
