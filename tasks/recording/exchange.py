"""A recording: what was asked and answered, without a name, a secret or a value of anybody's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.azure.failure import Cause, Failure
from tasks.recording import words
from tasks.recording.shape import Shape

_FORMAT = 1
# Whatever else happens: nothing that looks like one of these is ever written.
_SECRETS = re.compile(
    r"eyJ[\w-]{10}|\bsig=|Bearer |AccountKey=|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w.+-]+@[\w-]+\.\w",
    re.I,
)


class Exchange(BaseModel):
    """One request and its answer, which came so many `times` in a step.

    `recognised` is what this project takes an error for.
    """

    model_config = ConfigDict(frozen=True)

    step: str
    method: str
    service: str
    path: str
    version: str = ""
    query: tuple[str, ...] = ()
    status: int
    headers: tuple[str, ...] = ()
    shape: Any = None
    recognised: str = ""
    times: int = 1


class Check(BaseModel):
    """One check of the smoke as a recording has it; the facts are numbers."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    facts: dict[str, float] = {}


class Recording(BaseModel):
    """All exchanges in order, and the checks that made them."""

    model_config = ConfigDict(frozen=True)

    format: int = _FORMAT
    made: str
    by: dict[str, str]
    checks: tuple[Check, ...]
    exchanges: tuple[Exchange, ...]

    @classmethod
    def read(cls, path: Path) -> Recording:
        """The recording in a file; raises Failure for a file that is none."""
        try:
            found = cls.model_validate_json(path.read_text(encoding="utf-8"))
            for exchange in found.exchanges:
                Shape.read(exchange.shape or "")
        except (OSError, UnicodeDecodeError, ValidationError, ValueError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise Failure(
                f"{path} is no recording of `finetune smoke`: {reason}.",
                "Name a file smoke-DATE.json that it has written.",
                cause=Cause.CONFIGURATION,
            ) from error
        if found.format != _FORMAT:
            raise Failure(
                f"{path} is a recording of format {found.format}, and this version reads {_FORMAT}.",
                "Use the version that wrote it.",
                cause=Cause.CONFIGURATION,
            )
        return found

    def write(self, path: Path, names: Iterable[str]) -> None:
        """Write it, unless one of the names or something like a secret is in it: raises Failure then."""
        text = self.model_dump_json(indent=1) + "\n"
        if found := leaked(text, names):
            raise Failure(
                f"The recording would hold {len(found)} texts that must not be in it, and is not written.",
                "Please report it without those texts: it is a mistake of this project.",
                ", ".join(sorted(found)),
                cause=Cause.OTHER,
            )
        path.write_text(text, encoding="utf-8")


def leaked(text: str, names: Iterable[str]) -> set[str]:
    """The names that stand in the text as words, and what looks like a secret, an id or a person."""
    found = {match[0] for match in _SECRETS.finditer(text)}
    for name in names:
        ours = name in words.PARTS or name in words.CHOSEN_KEYS
        if len(name) > 2 and not ours and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, re.I):
            found.add(name)
    return found


def versions() -> dict[str, str]:
    """What spoke: our own version and those of the SDKs."""
    return {name: version(name) for name in ("azureml-finetune", "azure-ai-ml", "azureml-mlflow")}
