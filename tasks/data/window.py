"""How long a conversation may be, and what counts its tokens."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.data.section import Data


class Window(BaseModel):
    """What is known of the base model: at most `limit` tokens, as `tokenizer` counts them.

    None is what is not known, and `estimated` says why nothing counts. `source` is whose limit it is.
    """

    model_config = ConfigDict(frozen=True)

    limit: int | None = None
    source: str = ""
    tokenizer: str | None = None  # a folder with a tokenizer.json, such a file, or a model of the hub
    estimated: str = "no tokenizer is known"

    def chosen(self, data: Data) -> Window:
        """The window with what the user sets himself, which wins."""
        limit = {"limit": data.max_tokens, "source": "data.max_tokens"} if data.max_tokens else {}
        tokenizer = {"tokenizer": data.tokenizer} if data.tokenizer else {}
        return self.model_copy(update=limit | tokenizer)

    @property
    def identity(self) -> str:
        """Another one for another limit, and for a tokenizer that counts otherwise."""
        return f"{self.limit} {self._tokenizer_identity()}"

    def _tokenizer_identity(self) -> str | None:
        file = tokenizer_file(self.tokenizer) if self.tokenizer else None
        return hashlib.sha256(file.read_bytes()).hexdigest() if file else self.tokenizer


def tokenizer_file(name: str) -> Path | None:
    """The file of a tokenizer that lies on this machine; None for a model of the hub."""
    path = Path(name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    return file if file.is_file() else None
