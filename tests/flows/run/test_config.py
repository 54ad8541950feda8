"""Recipes and changes to them; every wrong input is one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flows.run.config import Finetune, apply, load, names
from tasks.azure.failure import Cause
from tasks.core.names import experiment_name
from tasks.deploy import Deploy
from tests.support.failures import fails


@pytest.mark.parametrize("recipe", names())
def test_every_recipe_is_a_configuration(recipe: str) -> None:
    config = load(recipe)
    assert config.recipe == recipe
    assert Finetune.model_validate(config.model_dump(mode="json")) == config


def test_the_default_recipe_spends_nothing() -> None:
    assert load("local").workspace.where == "local"
    assert Finetune().workspace.where == "local"


def test_the_tutorials_recipe_has_its_values() -> None:
    config = load("phi-3-mini-ultrachat")
    training, optimisation = config.parameters.training, config.parameters.optimisation
    assert (training.num_train_epochs, training.learning_rate, training.lr_scheduler_type) == (
        3,
        5e-6,
        "cosine",
    )
    assert (training.per_device_train_batch_size, training.per_device_eval_batch_size) == (1, 1)
    assert (optimisation.apply_lora, optimisation.apply_deepspeed, optimisation.deepspeed_stage) == (
        True,
        True,
        2,
    )
    assert (config.invoke.temperature, config.invoke.top_p, config.invoke.max_new_tokens) == (0.6, 0.9, 200)
    assert config.invoke.do_sample


def test_changes_reach_any_depth_and_are_read_as_yaml() -> None:
    config = load(
        "local",
        [
            "parameters.training.num_train_epochs=2",
            "fresh=true",
            "deploy.keep_endpoint=4h",
            "wait.budget_usd=1.5",
        ],
    )
    assert config.parameters.training.num_train_epochs == 2
    assert config.fresh
    assert config.deploy.kept_hours() == 4
    assert config.wait.budget_usd == 1.5


def test_changes_leave_the_document_as_it_was() -> None:
    body = {"deploy": {"instance_count": 1}}
    assert apply(body, ["deploy.instance_count=2"]) == {"deploy": {"instance_count": 2}}
    assert body == {"deploy": {"instance_count": 1}}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("deploy.instance_cont=2", "deploy.instance_cont: no such field"),
        ("deploy.instance_count=0", "deploy.instance_count: Input should be greater than or equal to 1"),
        ("deploy.keep_endpoint=soon", "no duration such as 30m, 4h or 2d"),
        ("compute.identity=mine", "compute.identity: String should match pattern"),
        ("deploy.deployment=base", "name of the base model's deployment"),
        ("compute.nodes=3", "queued for ever"),
        ("workspace.name=mine", "set where to azure"),
        ("recipe.now=1", "recipe: Input should be a valid string"),
        ("fresh.now=1", "fresh: Input should be a valid boolean"),
        ("nothing", "expected section.field=value"),
        ("a=[", "cannot be read"),
    ],
)
def test_a_wrong_change_is_one_readable_line(change: str, line: str) -> None:
    with fails(Cause.CONFIGURATION, line):
        load("local", [change])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("compute.tier=low_priority", "serverless machines are dedicated here"),
        ("compute.identity=system", "serverless machines come with the identity of the one who submits"),
    ],
)
def test_serverless_machines_take_no_tier_and_no_identity(change: str, line: str) -> None:
    with fails(Cause.CONFIGURATION, line):
        load("local", ["compute.name=serverless", change])


def test_a_recipe_that_does_not_exist_names_those_that_do() -> None:
    with fails(Cause.CONFIGURATION, "recipe 'locale'", "local, phi-3-mini-ultrachat, phi-4-ultrachat"):
        load("locale")


def test_a_file_that_is_no_recipe_says_so(tmp_path: Path) -> None:
    broken, listed = tmp_path / "broken.yaml", tmp_path / "list.yaml"
    broken.write_text("a: [1")
    listed.write_text("- 1")
    with fails(Cause.CONFIGURATION, str(broken), "YAML"):
        load(str(broken))
    with fails(Cause.CONFIGURATION, str(listed), "`base:`"):
        load(str(listed))


def test_the_endpoint_is_kept_for_ever_only_when_that_is_said() -> None:
    assert Deploy(keep_endpoint="forever").kept_hours() is None
    assert Deploy(keep_endpoint="30m").kept_hours() == 0.5
    assert Deploy().keep_endpoint is None


@pytest.mark.parametrize(
    ("change", "section", "field", "value"),
    [
        ("base.version=15", "base", "version", "15"),
        ("base.version=1.10", "base", "version", "1.10"),
        ("registration.name=2024", "registration", "name", "2024"),
        ("data.subset=no", "data", "subset", "no"),
        ("data.revision=0123456789", "data", "revision", "0123456789"),
        ("data.revision=1e10", "data", "revision", "1e10"),
        ("data.revision=2024-05-01", "data", "revision", "2024-05-01"),
        ("data.directory=2024", "data", "directory", Path("2024")),
        ("pipeline.version=0.0.80", "pipeline", "version", "0.0.80"),
        ("data.columns={messages: 7}", "data", "columns", {"messages": "7"}),
        ("data.roles={1: user, off: assistant}", "data", "roles", {"1": "user", "off": "assistant"}),
        ("base.version=", "base", "version", None),
        ("data.subset=null", "data", "subset", None),
        ("parameters.more={a: 15, b: no}", "parameters", "more", {"a": 15, "b": False}),
    ],
)
def test_text_fields_take_text(change: str, section: str, field: str, value: object) -> None:
    assert getattr(getattr(load("local", [change]), section), field) == value


def test_a_recipe_takes_text_as_a_change_does(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "\ufeffbase: {version: 15}\ndata: {dataset: sample, subset: no, train: {name: 007, take: 10}}\n"
        "  \nregistration:\n  name: 2024\ncompute: {nodes: 1}\n",
        encoding="utf-8",
    )
    config = load(str(recipe), ["data.checks.leaks=off"])
    assert (config.base.version, config.data.subset, config.registration.name) == ("15", "no", "2024")
    assert (config.data.train.name, config.data.train.take, config.compute.nodes) == ("007", "10", 1)
    assert config.data.checks.leaks == "off"


REFUSED = [
    ("pipeline.experiment=feature/my branch", "1 to 256 letters, digits, _ or -"),
    ("pipeline.experiment=exp.with.dots", "1 to 256 letters, digits, _ or -"),
    ("pipeline.experiment=_night", "a letter or digit first"),
    ("pipeline.experiment=-night", "a letter or digit first"),
    ("base.name=a model", "letters, digits"),
    ("registration.name=-x", "letters, digits"),
    ("compute.name=x", "3 to 32 letters"),
    ("deploy.endpoint=my_endpoint", "3 to 32 letters"),
    ("deploy.instance_count=51", "less than or equal to 50"),
    ("compute.max_nodes=70000", "less than or equal to 65000"),
    ("invoke.temperature=50", "less than or equal to 2"),
    ("data.train.take=0%", "out of range"),
    ("data.train.take=200%", "out of range"),
    ("data.cut.test=0", "at least one row"),
    ("data.quarantine_limit=101", "less than or equal to 100"),
    ("data.checks.leaks=maybe", "'reject', 'warn' or 'off'"),
    ("data.format=parquet", "'sharegpt'"),
]
IN_AZURE = [
    ("workspace.subscription_id=not-a-guid", "a subscription's id"),
    ("workspace.resource_group=ends.", "without a dot"),
    ("workspace.name=x", "3 to 33 letters"),
]


@pytest.fixture(scope="module")
def form() -> Any:
    """What checks a configuration as Prefect's form does."""
    schema = Finetune.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(("change", "line"), REFUSED + IN_AZURE)
def test_what_azure_would_refuse_is_refused_here_and_by_the_form(form: Any, change: str, line: str) -> None:
    with fails(Cause.CONFIGURATION, line):
        load("local", ["workspace.where=azure", change])
    good = load("local", ["workspace.where=azure"]).model_dump(mode="json")
    form.validate(good)
    with pytest.raises(jsonschema.ValidationError):
        form.validate(apply(good, [change]))


@pytest.mark.parametrize("model", ["Phi-3.5-mini-instruct", "a/b c", "x" * 400])
def test_the_experiment_of_a_model_is_one_that_azure_takes(model: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}", experiment_name(model))


HEAVY = {"prefect", "azure", "mlflow", "polars", "pyarrow", "datasets", "requests", "numpy"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("deploy.instance_cont=2", "no such field"),
        ("data.dataset=./no/such/folder", "no such file or folder"),
        ("data.dataset=tests/docs", "no data files"),
        ("data.train.name=holdout", "has no split 'holdout'"),
    ],
)
def test_a_mistake_in_a_recipe_is_reported_before_anything_heavy_is_imported(
    change: str, line: str, tmp_path: Path
) -> None:
    rows = tmp_path / "all.jsonl"
    rows.write_text('{"messages": []}\n', encoding="utf-8")
    script = (
        "import sys\nfrom flows.terminal.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    print(end.code)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    arguments = ["run", "local", "--set", f"data.dataset={rows}", "--set", change]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    code, modules = done.stdout.splitlines()
    assert code == "1"
    assert line in done.stderr
    assert not HEAVY & set(modules.split())
