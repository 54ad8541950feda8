"""Cases from public bug reports: what came out wrong, or not at all, comes out right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.data.cases import CASES, Case, outcome


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.id} {case.what}")
def test_a_reported_case_comes_out_right(case: Case, tmp_path: Path) -> None:
    found = outcome(case, tmp_path)
    assert case.now.format_map({"in": tmp_path / "in"}) in found if "{in}" in case.now else case.now in found
    assert "\n" not in found
