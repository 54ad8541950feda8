"""Command lines: places, optional groups, and values that stay data."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azureml_local.errors import BadRequest
from azureml_local.execution.command import render


def test_optional_group_needs_all_of_its_inputs() -> None:
    command = "run --a ${{inputs.a}} $[[--b ${{inputs.b}} --c ${{ inputs.c }}]] --out ${{outputs.o}}"
    assert shlex.split(render(command, {"a": "1", "b": "2"}, {"o": Path("/x")})) == [
        "run",
        "--a",
        "1",
        "--out",
        "/x",
    ]
    full = render(command, {"a": "1", "b": "2", "c": "3"}, {"o": Path("/x")})
    assert shlex.split(full) == ["run", "--a", "1", "--b", "2", "--c", "3", "--out", "/x"]


def test_missing_input_is_named() -> None:
    with pytest.raises(BadRequest, match=r"inputs\.a"):
        render("run ${{inputs.a}}", {}, {})


_values = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(value=_values)
def test_quoted_value_reaches_the_program_unchanged(value: str) -> None:
    assert shlex.split(render("run '${{inputs.a}}' end", {"a": value}, {})) == ["run", value, "end"]


def test_the_shell_agrees() -> None:
    value = "$(echo no) `echo no` \" ' \\ $HOME"
    command = "printf '%s|' '${{inputs.a}}' \"${{inputs.a}}\" ${{inputs.words}} ${{outputs.o}}"
    line = render(command, {"a": value, "words": "b c"}, {"o": Path("/a directory/$HOME")})
    out = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert out.stdout == f"{value}|{value}|b|c|/a directory/$HOME|"
