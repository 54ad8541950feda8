"""What conda files and Azure's own environments ask for, as pip is asked for it."""

from __future__ import annotations

import pytest

from azureml_local.assets import packages
from azureml_local.errors import BadRequest


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1.26.4", "numpy==1.26.4.*"),
        ("numpy=1.26.*", "numpy==1.26.*"),
        ("numpy 1.26", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy==1.26.4=py311h64a7726_0", "numpy==1.26.4"),
        ("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4.*"),
        ("numpy>=1.24, <2", "numpy>=1.24,<2"),
        ("pandas~=1.5.3", "pandas~=1.5.3"),
        ("conda-forge::scikit-learn=1.5", "scikit-learn==1.5.*"),
        ("pytorch=2.2", "torch==2.2.*"),
    ],
)
def test_a_package_of_condas_is_asked_of_pypi(written: str, asked: str) -> None:
    assert packages.of_conda(f"dependencies: ['{written}']").requirements == (asked,)


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("python", None),
        ("python=3.10", "3.10"),
        ("python==3.10.*", "3.10"),
        ("python>=3.9,<3.12", ">=3.9,<3.12"),
    ],
)
def test_the_python_is_the_one_asked_for(written: str, version: str | None) -> None:
    assert packages.of_conda(f"dependencies: ['{written}']").python == version


def test_what_wheels_bring_along_is_left_out_and_named() -> None:
    found = packages.of_conda("dependencies: [cudatoolkit=11.8, numpy]")
    assert (found.requirements, found.left_out) == (("numpy",), ("cudatoolkit",))


def test_lines_for_pip_are_kept_as_they_are() -> None:
    found = packages.of_conda(
        "dependencies: [{pip: ['--extra-index-url https://example.org', 'mlflow==2.16.2']}]"
    )
    assert found.requirements == ("--extra-index-url https://example.org", "mlflow==2.16.2")


@pytest.mark.parametrize(
    ("conda", "said"),
    [
        ("dependencies: [ffmpeg]", "'ffmpeg'"),
        ("dependencies: [{pip: ['-r requirements.txt']}]", "-r requirements.txt"),
        ("dependencies: [{pip: ['-e .']}]", "-e ."),
        ("dependencies: [", "YAML"),
        ("name: nothing else\ndependencies: 3", "dependencies"),
    ],
)
def test_what_cannot_be_built_is_named(conda: str, said: str) -> None:
    with pytest.raises(BadRequest, match="conda file cannot be built") as caught:
        packages.of_conda(conda)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("name", "python", "package"),
    [
        ("sklearn-1.5", "3.10", "scikit-learn~=1.5.0"),
        ("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "3.8", "scikit-learn~=1.0.0"),
        ("acpt-pytorch-2.1-cuda12.1-py3.10", "3.10", "torch~=2.1.0"),
        ("tensorflow-2.16-cuda11", "3.10", "tensorflow~=2.16.0"),
        ("mlflow-py312-inference", "3.12", "azureml-inference-server-http"),
        ("minimal-py311-inference", "3.11", "azureml-inference-server-http"),
    ],
)
def test_an_environment_of_azures_has_what_its_name_says(name: str, python: str, package: str) -> None:
    found = packages.of_curated(name)
    assert found is not None
    assert found.python == python
    assert package in found.requirements


def test_an_environment_of_azures_that_is_not_known_asks_for_nothing() -> None:
    assert packages.of_curated("responsibleai") is None
