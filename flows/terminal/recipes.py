"""Which recipe a command goes by, and what is changed of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_RECIPES = Path(__file__).resolve().parent.parent / "recipes"


def recipes(incomplete: str) -> list[str]:
    """The names of recipes that begin so, for the shell's completion."""
    return sorted(path.stem for path in _RECIPES.glob("*.yaml") if path.stem.startswith(incomplete))


RecipeArgument = Annotated[
    str, typer.Argument(help="The name of a recipe, or a YAML file.", autocompletion=recipes)
]
ChangesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Set a field of the recipe; may be repeated."),
]
