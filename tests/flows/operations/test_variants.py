"""The deployments for workers elsewhere: those of prefect.yaml, with the code from somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.operations import variants
from tests.support.checkout import ROOT


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


HERE, IMAGE, GIT = (
    read(ROOT / name) for name in ("prefect.yaml", "deploy/prefect.image.yaml", "deploy/prefect.git.yaml")
)


def test_the_files_are_up_to_date() -> None:
    for file, text in variants.written().items():
        assert file.read_text(encoding="utf-8") == text, "run: uv run python -m flows.operations.variants"


@pytest.mark.parametrize("variant", [IMAGE, GIT], ids=["image", "git"])
def test_a_variant_differs_by_where_the_code_comes_from_alone(variant: dict[str, Any]) -> None:
    for ours, its in zip(HERE["deployments"], variant["deployments"], strict=True):
        variables = its["work_pool"]["job_variables"]
        assert variables.pop("image", None) in (None, "{{ $FINETUNE_IMAGE }}")
        assert its == ours
    assert variant["build"] == HERE["build"]
    assert variant["pull"] != HERE["pull"]


def test_what_is_changed_must_be_there() -> None:
    with pytest.raises(ValueError, match="0 times"):
        variants.image("name: azureml-finetune\n")
