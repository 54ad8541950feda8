"""What a run found made already from the same inputs, and used instead of paying for it again."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Reused(BaseModel):
    """A thing that another flow run had made; `run` is None where it does not say which."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["data", "job", "model", "endpoint", "deployment", "answers"]
    name: str
    run: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" of run {self.run}" if self.run else "")
