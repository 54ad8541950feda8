"""Where the checkout under test and the facts of Azure beside it are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "azure"  # Microsoft's documents and recordings; tests say that they skip
CHILDREN = Path(__file__).parent / "children"  # on the PYTHONPATH of every Python that the tests start
TINY = Path(__file__).parent / "tiny"  # a component, a base model and a recipe that take seconds
