"""What a Python process has imported, by its own report (`-X importtime`, PYTHONPROFILEIMPORTTIME)."""

from __future__ import annotations

# What takes a noticeable part of a second to import, or seconds.
HEAVY = frozenset(
    {"prefect", "azure", "azureml", "mlflow", "torch", "transformers", "datasets", "pandas", "polars"}
)
PROFILED = {"PYTHONPROFILEIMPORTTIME": "1"}


def imported(report: str) -> set[str]:
    """The modules of the report, which is among what the process has written to stderr."""
    lines = [line for line in report.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[-1].strip() for line in lines}


def packages(report: str) -> set[str]:
    """The packages and modules at the top of those."""
    return {module.split(".")[0] for module in imported(report)}
