"""A model's tokenizer and chat template, without the weight of transformers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from azureml_local.components.conversations import Conversation, DataError


@dataclass(frozen=True)
class Encoded:
    """A conversation's tokens, and which of them the assistant said: those are learnt."""

    tokens: list[int]
    learn: list[bool]


class ChatTemplate:
    """Renders conversations and encodes them; loads from a Hugging Face folder.

    Raises:
        DataError: the folder has no chat template.
    """

    def __init__(self, folder: Path) -> None:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        from tokenizers import Tokenizer

        config = json.loads((folder / "tokenizer_config.json").read_text())
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = datetime.now().strftime
        self._template = environment.from_string(_source(folder, config))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._special = {name: _content(config.get(name)) for name in ("bos_token", "eos_token", "pad_token")}

    def render(self, messages: Conversation, *, add_generation_prompt: bool = False) -> str:
        """The text the model reads. Raises DataError for messages that the template refuses."""
        from jinja2 import TemplateError

        try:
            return self._template.render(
                messages=messages, add_generation_prompt=add_generation_prompt, **self._special
            )
        except TemplateError as error:
            raise DataError(f"Failure while applying chat template to dataset: {error}") from error

    def encode(self, conversations: Iterable[Conversation]) -> Iterator[Encoded]:
        """Each conversation's tokens; to be learnt are the assistant's turns and the marks that end them."""
        listed = list(conversations)
        texts = [self.render(messages) for messages in listed]
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        for messages, text, encoding in zip(listed, texts, encodings, strict=True):
            learn = [False] * len(encoding.ids)
            for start, end in self._answers(messages, text):
                for place, (first, last) in enumerate(encoding.offsets):
                    if first < end and last > start:
                        learn[place] = True
            yield Encoded(encoding.ids, learn)

    def _answers(self, messages: Conversation, text: str) -> Iterator[tuple[int, int]]:
        """Where in the text the assistant speaks: from the prompt for its turn to the turn's end."""
        for place, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self.render(messages[:place], add_generation_prompt=True)
            said = self.render(messages[: place + 1])
            if not (said.startswith(prompt) and text.startswith(said.rstrip())):
                raise DataError(
                    "Failure while applying chat template to dataset: a later message changes how the "
                    "template writes an earlier one, so the assistant's words cannot be told apart."
                )
            yield len(prompt), len(said.rstrip())


def _source(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text()
    source = config.get("chat_template")
    if isinstance(source, list):
        source = next((entry["template"] for entry in source if entry["name"] == "default"), None)
    if not source:
        raise DataError("The base model has no chat template; choose an instruct or chat model.")
    return str(source)


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token or "")


def _raise(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
