"""The log of a run, and the filter that everything logged in this process goes through."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Any

from tasks.azure.redaction import keep_environment_out, redact

_TOLD = "told"


def logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """The run's log inside a run, a plain one elsewhere; Prefect is not imported for it."""
    if "prefect.context" not in sys.modules:  # nobody can be inside a run
        return logging.getLogger("finetune")
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("finetune")


class Told(StrEnum):
    """What a record of the log is about that the command which runs here tells in its own way."""

    GROUP = "how a group of runs has ended"
    OUTCOME = "how the run has ended"
    STAGE = "how a stage of it has ended"

    @property
    def extra(self) -> Mapping[str, Told]:
        """What the record is logged with."""
        return {_TOLD: self}


def told(record: logging.LogRecord) -> Told | None:
    """What such a record is about; None for any other."""
    if record.name.startswith("prefect.") and record.getMessage().startswith("Finished in state "):
        return Told.STAGE  # Prefect's engine says no more of a task, in no other way
    about: Told | None = getattr(record, _TOLD, None)
    return about


class RedactedRecord(logging.LogRecord):
    """A line of whatever log, Prefect's and the SDKs' too, with the traceback below it: without secrets.

    It is redacted where it is made, before any handler sees it: terminals, files and Prefect's server alike.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        message = self._message()
        if message is not None and (clean := redact(message)) != message:
            self.msg, self.args = clean, ()
        if self.exc_info and self.exc_info[0] is not None:
            self._redact_traceback(*self.exc_info)
        if self.stack_info:
            self.stack_info = redact(self.stack_info)

    def _message(self) -> str | None:
        try:
            return self.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit: logging reports it when it formats the line
            return None

    def _redact_traceback(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the text of a traceback with a secret in it, and nothing that it could be formatted from."""
        text = "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")
        clean = redact(text)
        if clean != text:
            self.exc_info, self.exc_text = None, clean


def filter_all() -> None:
    """Let every record that this process logs from now on be redacted."""
    keep_environment_out()
    logging.setLogRecordFactory(RedactedRecord)


filter_all()  # whoever can log by this module does so through the filter
