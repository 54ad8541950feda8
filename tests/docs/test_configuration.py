"""Every YAML block is a recipe or part of one, or a file of fault rules or models, and valid as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from azureml_local.catalogue.own_models import MODELS_VARIABLE, own_models
from azureml_local.state import external_data, faults
from docs import recipes
from flows.run.config import Finetune, parse
from tasks.azure.failure import Cause
from tasks.data.section import Shape
from tests.docs.documents import Block, blocks
from tests.support.checkout import ROOT


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_it_is_valid(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if block.first == "# faults.yaml":
        file = tmp_path / "faults.yaml"
        file.write_text(block.text, encoding="utf-8")
        rules = faults.read(file)
        assert len(rules) == len(yaml.safe_load(block.text))
        return
    if block.first == "# models.yaml":
        (entry,) = yaml.safe_load(block.text)
        weights = tmp_path / entry["weights"].removeprefix("~/")
        weights.mkdir(parents=True)
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            (weights / name).write_text("{}")
        (tmp_path / "models.yaml").write_text(block.text.replace("~", str(tmp_path)), encoding="utf-8")
        monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models.yaml"))
        assert [model.name for model in own_models()] == [entry["name"]]
        return
    if block.first == "# external.yaml":
        file = tmp_path / "external.yaml"
        file.write_text(block.text, encoding="utf-8")
        for rule in yaml.safe_load(block.text):
            if rule["to"] != external_data.FETCH:
                (tmp_path / rule["to"]).mkdir()
        assert len(external_data.read(str(file))) == len(yaml.safe_load(block.text))
        return
    body = yaml.safe_load(block.text)
    if (block_of := body.get("workspace", {}).get("credentials")) is not None:
        # Prefect puts the block in its place before the flow is called; here there is no server to ask.
        assert block_of == {"$ref": {"block_document_slug": "finetune-azure-sign-in/NAME"}}
        del body["workspace"]["credentials"]
    config = parse(body, "docs")
    assert set(body) <= set(Finetune.model_fields)
    assert config.recipe == "docs"


def test_the_page_of_all_fields_is_up_to_date() -> None:
    found = recipes.PAGE.read_text(encoding="utf-8")
    assert found == recipes.page(), "run: uv run python -m docs.recipes"


def test_every_field_is_described() -> None:
    schema = Finetune.model_json_schema()
    silent = [
        f"{path}.{row.field}"
        for path, section, _ in recipes.sections(schema)
        for row in recipes.rows(section, schema)
        if not row.description
    ]
    assert silent == []


def test_every_field_is_on_the_page() -> None:
    """The page goes by the schema; this goes by the values, with every section filled in."""
    text = recipes.PAGE.read_text(encoding="utf-8")

    def names(values: dict[str, object]) -> set[str]:
        inner = [value for value in values.values() if isinstance(value, dict)]
        return set(values).union(*map(names, inner)) if inner else set(values)

    text = text.replace(".", "`")  # a section is named by its whole path
    assert [name for name in names(Finetune().model_dump()) if f"`{name}`" not in text] == []


def test_every_kind_of_fault_is_explained() -> None:
    text = (ROOT / "docs/local-workspace.md").read_text(encoding="utf-8")
    assert [kind for kind in faults.KINDS if f"| `{kind}` |" not in text] == []


def test_every_format_of_rows_is_explained() -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    assert [shape for shape in Shape if f"| `{shape.value}` |" not in text] == []


def test_every_cause_is_explained() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    listed = text.partition("## Causes")[2]
    assert [cause for cause in Cause if f"`{cause.value}`" not in listed] == []
