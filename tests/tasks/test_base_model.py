"""What a registry model says of itself, in tags or in system metadata."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

from azure.ai.ml.entities import Model

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.base_model import Base, find_model
from tasks.model_version import BaseModelVersion, Entry, allows, describe, literal
from tests.conftest import LetFail
from tests.support.checkout import TINY
from tests.support.failures import fails

LIST = "['Standard_NC24ads_A100_v4', 'Standard_NC48ads_A100_v4']"


def model(**given: Any) -> BaseModelVersion:
    nothing = Entry("azureml://registries/azureml/models/M/versions/1", "M", "1", "", {}, {}, archived=False)
    return describe(nothing._replace(**given), date(2026, 11, 1))


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


def test_an_archived_version_is_used_only_on_request(session: Session, registry_client: Any) -> None:
    name = f"archived-{uuid4().hex[:8]}"
    registry_client.models.create_or_update(
        Model(name=name, version="3", path=str(TINY), type="custom_model")
    )
    registry_client.models.archive(name, version="3")
    with fails(Cause.MODEL, "set base.version to 3 and base.allow_retired"):
        find_model.fn(session, Base(name=name))
    with fails(Cause.NOT_FOUND, "has no version 7 of", "It has: 3"):
        find_model.fn(session, Base(name=name, version="7"))
    with fails(Cause.MODEL, "is archived in its registry"):
        find_model.fn(session, Base(name=name, version="3"))
    found = find_model.fn(session, Base(name=name, version="3", allow_retired=True))
    assert found.version == "3"


def test_a_registry_that_does_not_filter_finds_it_by_label_and_it_is_refused_all_the_same(
    session: Session, registry_client: Any, let_fail: LetFail
) -> None:
    """A pull request of the SDK says that registries ignore the filter where versions are listed (#48675)."""
    name = "Phi-3-mini-4k-instruct"
    path = f"/subscriptions/{session.subscription_id}/resourceGroups/{session.resource_group}"
    path += f"/providers/Microsoft.MachineLearningServices/registries/azureml/models/{name}/versions"
    unfiltered = list(clients.pages(session, path, "2024-04-01", {"listViewType": "All"}))
    assert [version["name"] for version in unfiltered] == ["15"]
    body = {"value": unfiltered}
    rule = {"kind": "status", "method": "GET", "path": f"/**/models/{name}/versions", "status": 200}
    let_fail({**rule, "body": body, "count": None})
    with fails(Cause.MODEL, "version 15 is archived in its registry", "base.allow_retired"):
        find_model.fn(session, Base(name=name))
    found = find_model.fn(session, Base(name=name, allow_retired=True))
    assert found.version == "15"
    assert any("is archived" in warning for warning in found.warnings)


def test_a_retired_model_is_refused_before_anything_is_paid_for(session: Session) -> None:
    with fails(Cause.MODEL, "retired on 2025-08-30", "base.allow_retired"):
        find_model.fn(session, Base(name="Phi-3-mini-4k-instruct", version="15"))


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


def test_the_workspaces_own_model_is_a_base(session: Session, ml_client: Any, tmp_path: Path) -> None:
    name = own(ml_client, tmp_path, {})
    found = find_model.fn(session, Base(name=name, registry=None))
    assert (found.name, found.version, found.finetune_sizes) == (name, "1", None)
    with fails(Cause.NOT_FOUND, "The workspace has no version 7", "It has: 1"):
        find_model.fn(session, Base(name=name, registry=None, version="7"))


def test_a_run_goes_on_from_what_an_earlier_one_has_made(
    session: Session, tiny: str, ml_client: Any, tmp_path: Path
) -> None:
    run, first = uuid4(), find_model.fn(session, Base(name=tiny))
    name = own(ml_client, tmp_path, {"finetune.run": str(run), "finetune.base-model": first.id})
    found = find_model.fn(session, Base(name=tiny, from_run=run))
    assert (found.name, found.version) == (name, "1")
    assert found.id != first.id
    assert found.finetune_sizes == first.finetune_sizes is not None
    with fails(Cause.NOT_FOUND, "has registered no model"):
        find_model.fn(session, Base(name=tiny, from_run=uuid4()))


def test_a_model_that_the_workspace_cannot_train_is_refused_before_anything_runs(
    session: Session, ml_client: Any, tmp_path: Path
) -> None:
    name = own(ml_client, tmp_path, {"local_untrainable": "Models of type 'bert' cannot be fine-tuned here."})
    with fails(Cause.MODEL, name, "type 'bert'", "base.name"):
        find_model.fn(session, Base(name=name, registry=None))


def own(ml_client: Any, folder: Path, tags: dict[str, str]) -> str:
    """A model of the workspace's own."""
    from azure.ai.ml.entities import Model

    name = f"own-{uuid4().hex[:8]}"
    (folder / "MLmodel").write_text("flavors: {}\n")
    ml_client.models.create_or_update(
        Model(name=name, version="1", path=str(folder), type="mlflow_model", tags=tags)
    )
    return name
