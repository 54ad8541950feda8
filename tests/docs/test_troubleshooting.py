"""The errors that people look up are those that the code says."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.checkout import ROOT

PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `(.+?)` \|", PAGE.partition("## Causes")[0], re.MULTILINE)


@pytest.fixture(scope="module")
def said() -> str:
    """Every text of the flow and its tasks; what is filled in is an ellipsis."""
    texts = []
    for room in ("flows", "tasks"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    texts.append("".join(_part(value) for value in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return "\n".join(texts)


def _part(value: ast.expr) -> str:
    return str(value.value) if isinstance(value, ast.Constant) else "…"


def test_there_are_many_and_each_stands_once() -> None:
    assert len(QUOTED) > 30
    assert len({text.rstrip("… .:") for text in QUOTED}) == len(QUOTED)


@pytest.mark.parametrize("text", QUOTED)
def test_the_code_says_it(text: str, said: str) -> None:
    missing = [part for part in text.split("…") if part.strip(" .:") and part.strip() not in said]
    assert missing == []
