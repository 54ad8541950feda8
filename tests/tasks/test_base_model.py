"""What a registry model says of itself, in tags or in system metadata."""

from __future__ import annotations

from datetime import date
from typing import Any

from tasks.base_model import BaseModelVersion, allows, describe, literal

LIST = "['Standard_NC24ads_A100_v4', 'Standard_NC48ads_A100_v4']"


def model(**given: Any) -> BaseModelVersion:
    return describe(
        **{
            "id": "azureml://registries/azureml/models/M/versions/1",
            "name": "M",
            "version": "1",
            "description": "",
            "tags": {},
            "metadata": {},
            "archived": False,
            "today": date(2026, 11, 1),
            **given,
        }
    )


def test_allow_lists_are_read_from_tags_and_else_from_system_metadata() -> None:
    tagged = model(tags={"finetune_compute_allow_list": LIST, "inference_compute_allow_list": ""})
    assert tagged.finetune_sizes == ("Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4")
    assert tagged.inference_sizes is None
    newest = model(metadata={"supportedComputes": {"finetuneComputes": ["A"], "inferenceComputes": ["B"]}})
    assert (newest.finetune_sizes, newest.inference_sizes) == (("A",), ("B",))
    assert model().finetune_sizes is None


def test_sizes_are_compared_without_regard_to_case() -> None:
    allowed = model(tags={"finetune_compute_allow_list": LIST}).finetune_sizes
    assert allows(allowed, "STANDARD_NC24ADS_A100_V4")
    assert not allows(allowed, "Standard_ND40rs_v2")
    assert allows(None, "Standard_ND40rs_v2")


def test_tags_are_read_in_either_notation() -> None:
    assert literal("['a', 'b']") == ["a", "b"]
    assert literal('{"precision": 16, "apply_lora": true, "x": null}') == {
        "precision": 16,
        "apply_lora": True,
        "x": None,
    }
    assert literal("any text") is None


def test_defaults_that_cannot_be_read_are_ignored() -> None:
    assert model(tags={"model_specific_defaults": "{'a': 1}"}).defaults == {"a": 1}
    assert model(tags={"model_specific_defaults": "broken {"}).defaults == {}


def test_archived_retired_and_borrowed_weights_are_warned_of() -> None:
    told = model(
        archived=True, tags={"FinetuneRetirementDate": "2025-08-30", "local_stand_in": "SmolLM2"}
    ).warnings
    assert [word for word in ("SmolLM2", "archived", "2025-08-30") if any(word in line for line in told)] == [
        "SmolLM2",
        "archived",
        "2025-08-30",
    ]
    soon = {"deprecation": {"finetuneRetirementDate": "2027-01-01T00:00:00.000000Z"}}
    assert model(metadata=soon).warnings == ()
