"""The image that an MLmodel names, and whether what the component saves is served by it."""

from __future__ import annotations

import pytest

from tasks.azure.clients import Session
from tasks.base_model import Base, find_model
from tasks.serving_image import ServingImage, find_image, image_of

IMAGE = "mcr.microsoft.com/azureml/curated/foundation-model-inference"


@pytest.mark.parametrize(
    ("mlmodel", "image"),
    [
        (f"flavors: {{}}\nmetadata:\n  azureml.base_image: {IMAGE}:93\n", f"{IMAGE}:93"),
        (f"metadata: {{azureml: {{base_image: '{IMAGE}:63'}}}}", f"{IMAGE}:63"),
        ("metadata: {task: chat-completion}", ""),
        ("flavors: {}", ""),
        ("- a list", ""),
        ("", ""),
    ],
)
def test_the_image_stands_in_the_metadata(mlmodel: str, image: str) -> None:
    assert image_of(mlmodel) == image


@pytest.mark.parametrize(
    ("name", "doubt"),
    [(f"{IMAGE}:93", ""), (f"{IMAGE}:40", "version 40"), ("mine.azurecr.io/own:1", ""), ("", "MLmodel")],
)
def test_an_old_image_and_none_are_doubted(name: str, doubt: str) -> None:
    found = ServingImage(name=name).doubt
    assert doubt in found
    assert bool(doubt) == bool(found)


def test_a_registry_models_file_is_read(session: Session, tiny: str) -> None:
    base = Base(name=tiny)
    assert find_image(session, base, find_model.fn(session, base)).name == ""
