"""House rules that no linter has: which room may use which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.checkout import ROOT


@pytest.mark.parametrize(
    ("room", "from_elsewhere", "but"),
    [
        ("benchmarks", "tests", "tests.support"),  # what they share with the tests
        ("tests", "benchmarks", None),
        ("examples", "tests", None),
        ("examples", "flows", None),
    ],
)
def test_a_room_uses_nothing_of_another(room: str, from_elsewhere: str, but: str | None) -> None:
    used = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for module in imported(path)
        if module.split(".")[0] == from_elsewhere and not (but and module.startswith(but))
    }
    assert not used


def test_a_browser_is_opened_in_one_place() -> None:
    """What looks at a page is skipped there, where there is none."""
    files = [path for room in ("tests", "benchmarks", "docs") for path in (ROOT / room).rglob("*.py")]
    opening = [path for path in files if "import sync_playwright" in path.read_text(encoding="utf-8")]
    assert sorted(opening) == [ROOT / "tests" / "support" / "browser.py", Path(__file__)]


def imported(path: Path) -> list[str]:
    """The modules that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found
