"""What the base install leaves out: one clear line instead of an import that fails somewhere inside."""

from __future__ import annotations

from importlib.util import find_spec

CHAT = ("huggingface_hub", "pyarrow", "safetensors", "tokenizers", "torch", "transformers")
"""The modules that the extra `chat` brings."""


class ExtraMissing(RuntimeError):
    """Something needs the extra `chat`; the message names what, and the command that installs it."""


def need_chat(what: str) -> None:
    """Raises ExtraMissing when the extra `chat` is not installed; `what` is what needs it."""
    missing = [module for module in CHAT if find_spec(module) is None]
    if missing:
        raise ExtraMissing(
            f'{what} needs {", ".join(missing)}. Install the extra: pip install "azureml-local[chat]"'
        )
