"""The form of a deployment, filled in by a recipe: a build step of prefect.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.run.config import load


def filled(recipe: str | None = None) -> dict[str, Any]:
    """The step's outputs: `clone`, the directory deployed from, and `config`, the form with every field.

    Defaults are filled in as well, so that a person sees what will happen, and recipes stay the only place
    that values are kept in. Raises Failure for a recipe that is none.
    """
    outputs: dict[str, Any] = {"clone": str(Path.cwd().resolve())}
    if recipe is not None:
        outputs["config"] = load(recipe).model_dump(mode="json")
    return outputs
