"""The log of a run."""

from __future__ import annotations

import logging
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger


def logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """The run's log inside a run, a plain one elsewhere."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("finetune")
