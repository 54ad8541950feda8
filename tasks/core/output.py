"""What a run prints and logs to its process' own streams: whoever read them may be gone before it ends."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

from rich.console import Console

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def unread() -> Iterator[None]:
    """Let no line that cannot be written end the run while the block runs.

    A worker that is killed alone leaves its runs a pipe without a reader, and a closed terminal one without a
    screen: print raises then, and rich, which writes Prefect's log, ends the process.
    """
    for console in _consoles():
        outlive(console)
    with redirect_stdout(_Lasting(sys.stdout)), redirect_stderr(_Lasting(sys.stderr)):
        yield


def outlive(console: Console) -> None:
    """Have the console fall silent, instead of exiting the program, when its reader is gone."""
    console.on_broken_pipe = lambda: setattr(console, "quiet", True)  # type: ignore[method-assign]


def _consoles() -> Iterator[Console]:
    """The consoles that handlers of the log write to, such as those of Prefect."""
    known = (logging.getLogger(name) for name in (None, *logging.root.manager.loggerDict))
    for handler in {handler for logger in known for handler in logger.handlers}:
        console = getattr(handler, "console", None)
        if isinstance(console, Console):
            yield console


class _Lasting(io.TextIOBase):
    """A stream as far as it can be written to, and nothing from the first failure on.

    Without the colours that azure-ai-ml prints whatever it prints to, after an upload a line of nothing else.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._ends_nothing = False  # a line end follows that belongs to what was left out

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str) -> int:
        kept = self._kept(text)
        try:
            if kept:
                self._stream.write(kept)
            return len(text)
        except OSError:
            self._stream = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
            return len(text)

    def _kept(self, text: str) -> str:
        plain = _COLOUR.sub("", text)
        ends, self._ends_nothing = self._ends_nothing, plain != text and not plain.strip()
        if self._ends_nothing or (ends and text == "\n"):
            return ""
        return text if self.isatty() else plain

    def flush(self) -> None:
        if self._stream.closed:  # before this one, as Python's end may have it
            return
        try:
            self._stream.flush()
        except OSError:
            self._stream = open(os.devnull, "w")  # noqa: SIM115

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()
