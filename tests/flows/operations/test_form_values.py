"""The form: every field says what it is, and what is wrong is refused before any stage runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.finetune import finetune
from flows.run import parameters
from flows.run.config import Finetune, load, names
from flows.run.signature import OFTEN, sections

SCHEMA: dict[str, Any] = parameter_schema(finetune).model_dump()
BLOCK = "#/definitions/AzureSignIn"
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("recipe", {"recipe": "locale"}, "'locale' is not one of"),
    ("share", {"settings": {"share": "a few"}}, "'a few' does not match"),
    ("epochs", {"settings": {"epochs": 0}}, "0 is less than the minimum of 1"),
    ("learning rate", {"settings": {"learning_rate": -1}}, "-1"),
    ("budget", {"settings": {"budget_usd": "much"}}, "much"),
    ("keep", {"settings": {"keep_endpoint": "soon"}}, "'soon' does not match"),
    ("unknown setting", {"settings": {"lora_r": 4}}, "lora_r"),
    ("instances", {"deploy": {"instance_count": 0}}, "0 is less than the minimum of 1"),
    ("unknown field", {"deploy": {"instance_cont": 2}}, "instance_cont"),
    ("schedule", {"parameters": {"training": {"lr_scheduler_type": "quadratic"}}}, "quadratic"),
    ("where", {"workspace": {"where": "aws"}}, "'aws' is not one of"),
    ("top-p", {"invoke": {"top_p": 2}}, "2 is greater than the maximum of 1"),
    ("probe", {"deploy": {"liveness": {"period": 0}}}, "0 is less than the minimum of 1"),
]


def fields(form: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that the form shows, by its path; sections too."""
    for name, field in form.get("properties", {}).items():
        yield f"{path}{name}", field
        references = [kind["$ref"] for kind in field.get("anyOf", ()) if kind.get("$ref", BLOCK) != BLOCK]
        for reference in references:
            yield from fields(SCHEMA["definitions"][reference.rsplit("/", 1)[-1]], f"{path}{name}.")
        yield from fields(field, f"{path}{name}.")


@pytest.mark.parametrize(("path", "field"), list(fields(SCHEMA)))
def test_every_field_of_the_form_has_a_title_and_a_description(path: str, field: dict[str, Any]) -> None:
    assert field.get("description")
    assert field["title"]
    assert not {"Usd", "Ms", "P", "R"} & set(field["title"].split())
    # A default would go over the recipe once the form is opened; a second type is a question to people.
    is_section = path in sections() or path == "workspace.credentials"
    assert is_section or path in ("recipe", "settings") or "default" not in field
    assert is_section or "anyOf" not in field


def test_every_field_of_the_configuration_is_in_the_form_once() -> None:
    def places(values: dict[str, Any], path: str = "") -> Iterator[str]:
        for name, value in values.items():
            yield from places(value, f"{path}{name}.") if isinstance(value, dict) else [f"{path}{name}"]

    shown = [path for path, field in fields(SCHEMA) if "properties" not in field and path not in sections()]
    often = {f"settings.{name}": ".".join(path) for name, path in OFTEN.items()}
    where = [often.get(path, path.removeprefix("settings.")) for path in shown]
    assert sorted(where) == sorted(set(where))
    dicts = {"data.columns", "data.roles", "parameters.more"}  # empty ones
    assert set(where) - dicts == set(places(Finetune().model_dump(mode="json")))
    assert dicts <= set(where)


def test_what_people_change_comes_first_and_all_else_is_closed() -> None:
    assert list(SCHEMA["properties"]) == ["recipe", "settings", *sections()]
    assert list(SCHEMA["properties"]["settings"]["properties"])[:6] == list(OFTEN)
    for section in sections():
        assert SCHEMA["properties"][section]["anyOf"][0] == {"type": "null", "title": "As in the recipe"}


def test_the_recipe_is_a_choice_of_those_there_are() -> None:
    assert SCHEMA["properties"]["recipe"]["enum"] == names()
    assert "local 50%" in SCHEMA["properties"]["settings"]["properties"]["share"]["description"]


def test_credentials_are_one_of_prefects_blocks() -> None:
    assert SCHEMA["definitions"]["AzureSignIn"]["block_type_slug"] == "finetune-azure-sign-in"


@pytest.mark.parametrize("recipe", names())
def test_a_runs_record_fills_the_form_in_and_is_accepted(recipe: str) -> None:
    validate(parameters.of(load(recipe)), SCHEMA, raise_on_error=True)


@pytest.mark.parametrize(("given", "said"), [wrong[1:] for wrong in WRONG], ids=[wrong[0] for wrong in WRONG])
def test_the_schema_refuses_a_wrong_value_and_names_it(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        validate(given, SCHEMA, raise_on_error=True)
    assert said in str(error.value)
