"""What a call of MLflow's model registry asks for; raises BadRequest for what the registry does not take."""

from __future__ import annotations

import re
from typing import TypeVar

from azureml_local.errors import BadRequest
from azureml_local.state.document import Json

_STAGES = {stage.casefold(): stage for stage in ("None", "Staging", "Production", "Archived")}
_CLAUSE = re.compile(r"\s*(name|run_id)\s*=\s*(['\"])(.*?)\2\s*", re.IGNORECASE)
# What mlflow 3 adds to each search; that the service passes over it is assumed, as it has no prompts.
_NO_PROMPTS = "tag.`mlflow.prompt.is_prompt` != 'true'"
_PAGE = 100

T = TypeVar("T")


def text_of(given: Json, field: str) -> str:
    """The field, which must not be empty."""
    value = given.get(field)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"Missing value for required parameter '{field}'.", target=field)
    return value


def tags_of(given: Json) -> dict[str, str]:
    """The tags, which mlflow sends as a list of keys and values."""
    tags = given.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, dict) and "key" in tag for tag in tags):
        raise BadRequest("'tags' must be a list of objects with key and value.", target="tags")
    return {str(tag["key"]): str(tag.get("value", "")) for tag in tags}


def stage_of(stage: object) -> str:
    """The stage as it is written, whatever its case."""
    found = _STAGES.get(str(stage).casefold())
    if found is None:
        raise BadRequest(f"Invalid Model Version stage {stage}: one of {', '.join(_STAGES.values())}.")
    return found


def clauses_of(given: Json, *fields: str) -> dict[str, str]:
    """The clauses of a search, each for an equal value."""
    text = str(given.get("filter") or "")
    if not text.strip():
        return {}
    found = {}
    for clause in re.split(r"\s+and\s+", text, flags=re.IGNORECASE):
        if clause.strip() == _NO_PROMPTS:
            continue
        match = _CLAUSE.fullmatch(clause)
        if match is None or match[1].lower() not in fields:
            raise BadRequest(
                f"Invalid filter {text!r}: found is by {' or '.join(fields)}, equal to a text in quotes."
            )
        found[match[1].lower()] = match[3]
    return found


def page_of(given: Json, found: list[T]) -> tuple[list[T], str]:
    """The part of what was found that is asked for, and the token of the next; it is empty after the last."""
    first, size = str(given.get("page_token") or "0"), str(given.get("max_results") or _PAGE)
    if not first.isdigit() or not size.isdigit() or not int(size):
        raise BadRequest("Invalid page_token or max_results.")
    last = int(first) + int(size)
    return found[int(first) : last], str(last) if last < len(found) else ""
