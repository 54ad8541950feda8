"""The distribution azureml-finetune: its version, and the command `finetune`.

The workflow lies in the packages `flows` and `tasks`: at the top level of a checkout, and inside this package
where a wheel is installed.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

__all__ = ["__version__", "find_workflow", "main"]


def main() -> None:
    """Run the command line `finetune`."""
    find_workflow()
    from flows.terminal.cli import main as command

    command()


def find_workflow() -> None:
    """Make `flows` and `tasks` importable from inside an installed wheel; in a checkout they are already."""
    here = Path(__file__).resolve().parent
    # First, not last: an environment may have packages of such common names of its own.
    if (here / "flows").is_dir() and str(here) not in sys.path:
        sys.path.insert(0, str(here))


def __getattr__(name: str) -> str:
    """The version, looked up when it is asked for: that reads files, and `finetune --help` is in a hurry."""
    if name == "__version__":
        return version("azureml-finetune")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
