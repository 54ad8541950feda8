"""Conversations as tokens, with those marked that the assistant said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from azureml_local.components.conversations import Conversation, DataError
from azureml_local.pretrained.chat_tokenizer import ChatTokenizer, Refused


@dataclass(frozen=True)
class Encoded:
    """A conversation's tokens, and which of them the assistant said: those are learnt."""

    tokens: list[int]
    learn: list[bool]


class ChatTemplate:
    """The chat template of a base model, as a folder in Hugging Face's format.

    Raises:
        DataError: the folder has no chat template.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer = ChatTokenizer(folder)
        except Refused as error:
            raise DataError(str(error)) from error

    def render(self, messages: Conversation, *, add_generation_prompt: bool = False) -> str:
        """The text the model reads. Raises DataError for messages that the template refuses."""
        try:
            return self._tokenizer.render(messages, add_generation_prompt=add_generation_prompt)
        except Refused as error:
            raise DataError(f"Failure while applying chat template to dataset: {error}") from error

    def encode(self, conversations: Iterable[Conversation]) -> Iterator[Encoded]:
        """Each conversation's tokens; to be learnt are the assistant's turns and the marks that end them."""
        listed = list(conversations)
        texts = [self.render(messages) for messages in listed]
        encodings = self._tokenizer.backend.encode_batch(texts, add_special_tokens=False)
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
