"""A component's command line with its inputs and outputs filled in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from azureml_local.errors import BadRequest

_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_PLACE = re.compile(r"\$\{\{\s*(inputs|outputs|search_space)\.([A-Za-z_][\w.]*)\s*\}\}")
_QUOTES = "'\""


class Address(str):
    """The address of data, of which as of a path nothing is the shell's."""


def render(command: str, inputs: Mapping[str, str | Path], outputs: Mapping[str, str | Path]) -> str:
    """The command for a shell.

    `${{inputs.x}}` and `${{outputs.y}}` become values and paths; a group `$[[ … ]]` stays only if every
    input in it has a value. A literal without quotes around it is words of the shell's, as on Azure; within
    quotes, and in every path, nothing of it is. Raises BadRequest for a place that nothing fills.
    """

    def kept(match: re.Match[str]) -> str:
        needed = [name for kind, name in _PLACE.findall(match[1]) if kind == "inputs"]
        return match[1] if all(name in inputs for name in needed) else ""

    text = _OPTIONAL.sub(kept, command)
    pieces: list[str] = []
    end = 0
    for match in _PLACE.finditer(text):
        value = {"inputs": inputs, "outputs": outputs}.get(match[1], {}).get(match[2])
        if value is None:
            raise BadRequest(f"The command refers to {match[0]}, which has no value.", code="ValidationError")
        pieces += [text[end : match.start()], _quoted(value, _open_quote(text[: match.start()]))]
        end = match.end()
    return "".join([*pieces, text[end:]])


def _quoted(value: str | Path, quote: str | None) -> str:
    """The value as it must be written where `quote` is open."""
    if quote == "'":
        return str(value).replace("'", "'\"'\"'")
    if quote == '"':
        return re.sub(r'([\\"$`])', r"\\\1", str(value))
    return shlex.quote(str(value)) if isinstance(value, Path | Address) else value


def _open_quote(text: str) -> str | None:
    """Which quote is open at the end of a shell text."""
    quote: str | None = None
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote is None and character in _QUOTES:
            quote = character
        elif character == quote:
            quote = None
    return quote
