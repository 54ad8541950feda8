"""A model's chat template: what the model reads of a conversation."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

Messages = list[dict[str, str]]


class ChatTemplate:
    """Renders conversations; `source` says whose template it is.

    Of a folder with a tokenizer_config.json or a chat_template.jinja; where there is none, conversations are
    shown as ChatML, the form that most chat models descend from.
    """

    def __init__(self, folder: Path | None, model: str) -> None:
        config = _json(folder / "tokenizer_config.json") if folder else {}
        text = _template(folder, config) if folder else None
        self.is_known = text is not None
        self.source = f"{model}'s chat template" if text else "ChatML, as the model's template is not at hand"
        self._text = text or _CHATML
        self._special = {name: _token(config.get(name)) for name in ("bos_token", "eos_token", "pad_token")}

    def render(self, messages: Messages) -> str:
        """The text; what the template says where it refuses the conversation."""
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = datetime.now().strftime
        try:
            template = environment.from_string(self._text)
            return template.render(messages=messages, add_generation_prompt=False, **self._special)
        except (TemplateError, TypeError, ValueError) as error:
            return f"(the chat template refuses it: {error})"


_CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def _template(folder: Path, config: dict[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    text = config.get("chat_template")
    if isinstance(text, list):
        text = next((entry.get("template") for entry in text if entry.get("name") == "default"), None)
    return str(text) if text else None


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _token(token: Any) -> str:
    return str(token.get("content", "") if isinstance(token, dict) else token or "")


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)
