"""The configuration: flow parameter, form in Prefect's UI, YAML recipe and command line in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flows.run import values
from tasks.azure.failure import Cause, Failure
from tasks.data.section import Data
from tasks.gate.rule import Metric, Model
from tasks.job.parameters import Parameters
from tasks.sections.approval import Approval
from tasks.sections.base import Base
from tasks.sections.compute import Compute
from tasks.sections.deploy import Deploy
from tasks.sections.evaluation import Evaluation
from tasks.sections.gate import Gate
from tasks.sections.invoke import Invoke
from tasks.sections.pipeline import Pipeline
from tasks.sections.register import Register
from tasks.sections.wait import Wait
from tasks.sections.workspace import Workspace

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


class Finetune(BaseModel):
    """Everything that a run does: what is left out goes by the defaults, the model and the workspace."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Fine-tune")

    recipe: str = Field("custom", description="What lists of runs call this configuration.")
    fresh: bool = Field(False, description="Train again even if a job with the same inputs exists.")
    approval: Approval = Approval()
    workspace: Workspace = Workspace()
    base: Base = Base()
    compute: Compute = Compute()
    data: Data = Data()
    parameters: Parameters = Parameters()
    pipeline: Pipeline = Pipeline()
    wait: Wait = Wait()
    registration: Register = Register()
    deploy: Deploy = Deploy()
    invoke: Invoke = Invoke()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()

    @model_validator(mode="after")
    def _gate_is_measured(self) -> Finetune:
        """What rules are about must be measured, or no model would ever pass."""
        asked, judged = self.evaluation.prompts > 0, self.evaluation.judge.url is not None
        for rule in self.gate.parsed:
            if rule.metric.needs_endpoint and not asked:
                raise ValueError(f"gate.rules: {rule.text!r} needs answers: set evaluation.prompts")
            if rule.metric is Metric.WIN_RATE and not judged:
                raise ValueError(f"gate.rules: {rule.text!r} needs a judge: set evaluation.judge.url")
            of_base = rule.model is Model.BASE and rule.metric.needs_endpoint
            if of_base and not self.deploy.compare_with_base:
                raise ValueError(f"gate.rules: {rule.text!r} needs deploy.compare_with_base")
        return self


def load(recipe: str, changes: Iterable[str] = ()) -> Finetune:
    """The configuration of a recipe, by its path or its name in recipes/, with `a.b=c` changes made to it.

    Raises Failure naming what is wrong with it, a line for each.
    """
    path = find(recipe)
    return parse(apply(document(path), changes), path.stem)


def find(recipe: str) -> Path:
    """The file of a recipe; raises Failure listing those there are."""
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    shipped = RECIPES / f"{recipe}.yaml"
    if shipped.is_file():
        return shipped
    raise Failure(
        f"There is no recipe {recipe!r}.",
        f"Name a YAML file, or one of: {', '.join(names())}.",
        cause=Cause.CONFIGURATION,
    )


def names() -> list[str]:
    """The recipes that ship with the project."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def document(path: Path) -> dict[str, Any]:
    """A recipe's YAML as it stands."""
    try:
        body = values.read(path.read_text(encoding="utf-8-sig"), Finetune)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failure(
            f"{path} cannot be read as YAML: {' '.join(str(error).split())}.", cause=Cause.CONFIGURATION
        ) from error
    if not isinstance(body or {}, dict):
        raise Failure(
            f"{path} is no recipe.",
            "It must hold sections such as `base:` and `data:`.",
            cause=Cause.CONFIGURATION,
        )
    return body or {}


def apply(body: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """The document with changes such as `deploy.instance_count=2` made; values are read as YAML.

    Where a field takes text, 15 and no are text: `base.version=15` needs no quotes.
    """
    changed = {**body}
    for change in changes:
        where, equals, value = change.partition("=")
        if not equals or not where.strip():
            raise Failure(
                f"Invalid --set {change!r}: expected section.field=value.", cause=Cause.CONFIGURATION
            )
        *sections, field = where.strip().split(".")
        at = changed
        for section in sections:
            inner = at.get(section)
            if inner is not None and not isinstance(inner, Mapping):
                raise Failure(
                    f"{where.strip()} does not exist: {section} is no section.", cause=Cause.CONFIGURATION
                )
            at[section] = {**(inner or {})}
            at = at[section]
        try:
            at[field] = values.read(value, values.kind_of(Finetune, [*sections, field]))
        except yaml.YAMLError as error:
            raise Failure(
                f"The value of {where} cannot be read: {' '.join(str(error).split())}.",
                cause=Cause.CONFIGURATION,
            ) from error
    return changed


def parse(body: Mapping[str, Any], recipe: str) -> Finetune:
    """The configuration of a document; raises Failure naming each wrong field."""
    try:
        return Finetune.model_validate({"recipe": recipe, **body})
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, fault['loc']))}: {_reason(fault)}" for fault in error.errors()]
        said = f"The configuration is wrong: {'; '.join(wrong)}"
        raise Failure(said if said.endswith("?") else f"{said}.", cause=Cause.CONFIGURATION) from error


def _reason(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        near = _nearest([str(step) for step in fault["loc"]])
        return f"no such field, did you mean {near}?" if near else "no such field"
    return str(fault["msg"]).removeprefix("Value error, ")


def _nearest(path: list[str]) -> str | None:
    """The field that is written most like the last of these names: in its section, else anywhere."""
    from difflib import get_close_matches

    *above, name = path
    within = values.section(values.kind_of(Finetune, above)) if above else Finetune
    if found := get_close_matches(name, within.model_fields if within else (), n=1):
        return ".".join((*above, found[0]))
    every = list(values.fields(Finetune))
    by_name = {each.rpartition(".")[2]: each for each in reversed(every)}
    found = get_close_matches(name, by_name, n=1, cutoff=0.8)
    return by_name[found[0]] if found else None
