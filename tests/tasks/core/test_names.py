"""Names that follow from inputs, and that Azure takes."""

from __future__ import annotations

import re

import pytest

from tasks.core.names import display_name, endpoint_name, fingerprint, job_name, model_name

# Azure's rule for the names of endpoints, which have at most 32 characters.
_ENDPOINT = re.compile(r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")


def test_equal_inputs_have_equal_fingerprints_whatever_their_order() -> None:
    assert fingerprint(a=1, b={"x": 1, "y": 2}) == fingerprint(b={"y": 2, "x": 1}, a=1)
    assert fingerprint(a=1) != fingerprint(a=2)
    assert fingerprint(a=1) != fingerprint(a="1")


def test_attempts_and_fresh_runs_have_names_of_their_own() -> None:
    names = {
        job_name("Phi-3", "abc", 1, None),
        job_name("Phi-3", "abc", 2, None),
        job_name("Phi-3", "abc", 1, "0191f1de-aaaa-bbbb"),
    }
    assert names == {"phi-3-abc", "phi-3-abc-2", "phi-3-abc-r0191f1deaaaa"}


@pytest.mark.parametrize("dataset", ["ultrachat_200k", "sample", "7th set", "ä", "a-very-long-dataset-name"])
def test_endpoint_names_are_legal_and_differ_between_workspaces(dataset: str) -> None:
    one, other = endpoint_name(dataset, "job-1", "/ws/one"), endpoint_name(dataset, "job-1", "/ws/other")
    assert one != other
    assert one == endpoint_name(dataset, "job-1", "/WS/ONE")
    for name in (one, other):
        assert _ENDPOINT.match(name)
        assert len(name) <= 32


def test_a_models_name_is_made_legal() -> None:
    assert model_name("meta/Llama 2", "ultrachat_200k") == "meta-Llama-2-ultrachat_200k"


def test_the_display_name_tells_the_choices() -> None:
    parameters = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 3,
        "lr_scheduler_type": "cosine",
        "apply_deepspeed": "true",
        "deepspeed_stage": "2",
        "apply_lora": "true",
        "save_total_limit": 1,
    }
    name = display_name("Phi-3-mini-4k-instruct", "ultrachat_200k", parameters, gpus=4, nodes=2)
    assert name == "Phi-3-mini-4k-instruct-ultrachat_200k-bs48-cosine-ds2-lora-save_limit1-seqlen-1"
    assert display_name("m", "d", {}, gpus=0, nodes=1) == "m-d-bs1-linear-nods-nolora-save_limit-1-seqlen-1"
