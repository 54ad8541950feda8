"""A model's tokenizer and chat template: conversations as the text and the tokens that the model reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any


class Refused(ValueError):
    """There is no chat template, or it refuses a conversation; the message is its author's."""


class ChatTokenizer:
    """Renders, encodes and decodes; loads from a folder in Hugging Face's format.

    Raises:
        Refused: the folder has no chat template.
        OSError: it has no tokenizer.json, or no tokenizer_config.json.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        config = json.loads((folder / "tokenizer_config.json").read_text())
        self._template = _environment().from_string(_source(folder, config))
        self._special = {name: _content(config.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
        self.backend = Tokenizer.from_buffer((folder / "tokenizer.json").read_bytes())

    @property
    def end(self) -> int | None:
        """The token that ends a text."""
        found: int | None = self.backend.token_to_id(self._special["eos_token"])
        return found

    def render(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = False) -> str:
        """The text that the model reads. Raises Refused for messages that the template refuses."""
        # Templates ask for what transformers always passes: `tools is not none` holds for what is undefined.
        asked = {"add_generation_prompt": add_generation_prompt, "tools": None, "documents": None}
        try:
            text: str = self._template.render(messages=messages, **asked, **self._special)
        except Exception as error:  # templates are Jinja and raise what their author chose
            raise Refused(str(error)) from error
        return text

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens after which the assistant speaks; raises Refused as `render` does."""
        text = self.render(messages, add_generation_prompt=True)
        tokens: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of the tokens, without the special ones among them."""
        text: str = self.backend.decode(list(tokens), skip_special_tokens=True)
        return text


def _environment() -> Any:
    """Jinja with what transformers adds to it for chat templates."""
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the assistant says, for who trains by marks; its body is the text."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = _json
    return environment


def _source(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text()
    source = config.get("chat_template")
    if isinstance(source, list):
        source = next((entry["template"] for entry in source if entry["name"] == "default"), None)
    if not source:
        raise Refused("The base model has no chat template; choose an instruct or chat model.")
    return str(source)


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token or "")


def _json(value: Any, **options: Any) -> str:
    """Jinja's own escapes what means something in HTML."""
    return json.dumps(value, ensure_ascii=False, **options)


def _raise(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
