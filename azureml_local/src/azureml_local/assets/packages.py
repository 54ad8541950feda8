"""The Python and the packages that an environment asks for, in the words of a requirements file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from azureml_local.errors import BadRequest

# [channel::]name, then any of: =1.2, =1.2=build, ==1.2.3, >=1,<2, " 1.2".
_CONDA = re.compile(r"(?:[\w./-]+::)?(?P<name>[\w.-]+)(?:\[[^\]]*\])?\s*(?P<asked>.*)", re.DOTALL)
_FRAMEWORK = re.compile(r"(?P<name>sklearn|pytorch|tensorflow|lightgbm|mlflow)-?(?P<version>\d+\.\d+)?")
_PYTHON = re.compile(r"py(?P<major>3)\.?(?P<minor>\d+)")

# What curated environments have beside their framework, as far as a script imports it: by the conda files in
# Azure/azureml-assets (assets/training/general/environments, assets/inference/environments).
_TRAINING = ("azureml-mlflow", "joblib", "matplotlib", "numpy", "pandas", "psutil", "scipy", "tqdm")
_INFERENCE = ("azure-identity", "azure-storage-blob", "azureml-inference-server-http", "joblib", "numpy")
_FRAMEWORKS = {
    "sklearn": ("scikit-learn",),
    "pytorch": ("torch", "torchvision"),
    "tensorflow": ("tensorflow",),
    "lightgbm": ("lightgbm", "scikit-learn", "xgboost"),
    "mlflow": ("cloudpickle", "mlflow", "pandas", "scikit-learn"),
}
# Of those packages the ones that have the framework's own version.
_VERSIONED = {"sklearn": "scikit-learn", "pytorch": "torch", "tensorflow": "tensorflow"}
_CURATED_PYTHON = "3.10"  # where the name says none


@dataclass(frozen=True)
class Packages:
    """A Python, as `uv venv --python` takes it (None: any), and the lines of a requirements file.

    `left_out` names what the conda file asks for that needs no package of its own here.
    """

    python: str | None
    requirements: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def of_conda(text: str) -> Packages:
    """What a conda file asks for; raises BadRequest for what only conda has, or what cannot be read."""
    described = _described(text)
    python: str | None = None
    requirements: list[str] = []
    left_out: list[str] = []
    for entry in described.get("dependencies") or ():
        if isinstance(entry, Mapping):
            requirements += [_pip(line) for line in entry.get("pip") or ()]
            continue
        name, asked = _parsed(str(entry))
        if name == "python":
            python = _version(asked).removeprefix("==").removesuffix(".*") or None
        elif name in _names()["nothing"]:
            left_out.append(name)
        else:
            requirements.append(_on_pypi(name) + _version(asked))
    return Packages(python, tuple(requirements), tuple(left_out))


def of_curated(name: str) -> Packages | None:
    """What one of Azure's own environments has, by its name; None for one that is not known here."""
    lowered = name.casefold()
    python = _PYTHON.search(lowered)
    version = f"{python['major']}.{python['minor']}" if python else _CURATED_PYTHON
    if framework := _FRAMEWORK.search(lowered):
        beside = _INFERENCE if "inference" in lowered else _TRAINING
        own = [_pinned(package, framework) for package in _FRAMEWORKS[framework["name"]]]
        return Packages(version, tuple(sorted({*own, *beside} - _doubled(own, beside))))
    if "minimal" in lowered and "inference" in lowered:
        return Packages(version, _INFERENCE)
    return None


def _described(text: str) -> Mapping[str, Any]:
    try:
        described = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _refused(f"it is not valid YAML: {error}") from error
    if not isinstance(described, Mapping) or not isinstance(described.get("dependencies") or [], Sequence):
        raise _refused("it has no list 'dependencies'")
    return described


def _pip(line: object) -> str:
    """A line under `pip:`, maybe an option of pip's. Files beside the conda file do not come with it."""
    text = str(line).strip()
    if re.match(r"(-r|--requirement|-c|--constraint|-e|--editable)\b", text) or text.startswith((".", "/")):
        raise _refused(f"'{text}' names a file, and the conda file alone is sent: write its lines here")
    return text


def _parsed(entry: str) -> tuple[str, str]:
    match = _CONDA.fullmatch(entry.strip())
    if match is None:
        raise _refused(f"'{entry}' is not a package")
    return match["name"].casefold(), match["asked"].strip()


def _version(asked: str) -> str:
    """What conda calls a version, as pip does: `=1.2` and ` 1.2` mean 1.2.*; a build is left out."""
    if not asked:
        return ""
    if asked[0].isdigit() or (asked[0] == "=" and not asked.startswith("==")):
        number = re.split(r"[=\s]", asked.lstrip("=").strip(), maxsplit=1)[0]
        return f"=={number.rstrip('.*')}.*"
    if asked.startswith("=="):
        return "==" + asked.removeprefix("==").split("=")[0].strip()
    return asked.replace(" ", "")


def _on_pypi(name: str) -> str:
    names = _names()
    if name in names["same"]:
        return name
    if name in names["other"]:
        return str(names["other"][name])
    raise _refused(
        f"of conda's packages only those are known here that PyPI has as well, and '{name}' is none of them. "
        "Write its name on PyPI under 'pip:', or start the workspace with --environments node"
    )


@cache
def _names() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "conda_names.yaml").read_text())
    return found


def _pinned(package: str, framework: re.Match[str]) -> str:
    if framework["version"] is None or _VERSIONED.get(framework["name"]) != package:
        return package
    return f"{package}~={framework['version']}.0"


def _doubled(own: Sequence[str], beside: Sequence[str]) -> set[str]:
    """Packages of `beside` that the framework brings with a version."""
    return {package for package in beside if any(line.startswith(f"{package}~=") for line in own)}


def _refused(why: str) -> BadRequest:
    return BadRequest(
        f"The environment's conda file cannot be built: {why}.", code="UserError", target="condaFile"
    )
