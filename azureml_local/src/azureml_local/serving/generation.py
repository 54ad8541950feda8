"""Text generation with continuous batching: requests join and leave the batch between two tokens."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path

import torch

from azureml_local.precision import dtype
from azureml_local.pretrained.chat_tokenizer import Refused
from azureml_local.pretrained.generation_config import GenerationConfig
from azureml_local.serving import causal_model
from azureml_local.serving import sampling as next_token
from azureml_local.serving.chat import InvalidRequest, Message, Sampling
from azureml_local.serving.completions import Generated

logger = logging.getLogger(__name__)


@dataclass
class _Sequence:
    """A conversation being answered; ``tokens`` holds the prompt and what was generated so far.

    ``hear`` is given the answer's text piece by piece, ``heard`` characters of it so far.
    """

    tokens: list[int]
    limit: int
    sampling: Sampling
    hear: Callable[[str], None] | None = None
    heard: int = 0
    answer: Future[Generated] = field(default_factory=Future)
    prompt_length: int = field(init=False)

    def __post_init__(self) -> None:
        self.prompt_length = len(self.tokens)


class Generator:
    """A causal language model and its tokenizer, answering many conversations at a time.

    One thread runs the model. It admits waiting conversations whenever a row is free, so a short answer
    never waits for a long one, and an answer nobody waits for any more gives its row back.
    """

    def __init__(
        self, folder: Path, *, rows: int = 8, threads: int | None = None, precision: str = "16"
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._tokenizer, self._model = causal_model.load(folder, dtype(precision), rows)
        self.context = self._model.context
        config = GenerationConfig.of(folder)
        self.usual = config.sampling
        end = self._tokenizer.end
        self.stop_tokens = config.stop_tokens if end is None else config.stop_tokens | {end}
        self._active: list[_Sequence] = []
        self._waiting: queue.SimpleQueue[_Sequence | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="generator", daemon=True)
        self._thread.start()

    def submit(
        self,
        conversation: Sequence[Message],
        sampling: Sampling,
        hear: Callable[[str], None] | None = None,
    ) -> Future[Generated]:
        """Queue a conversation; the future holds the assistant's next message.

        Its text goes to `hear` as it is generated, from the generator's thread.

        Raises:
            InvalidRequest: the chat template refuses the roles, or the prompt leaves no room in the context.
        """
        try:
            prompt = self._tokenizer.prompt(conversation)
        except Refused as error:
            raise InvalidRequest(f"the model's chat template refuses this conversation: {error}") from error
        room = self.context - len(prompt)
        if room < 1:
            raise InvalidRequest(
                f"the conversation has {len(prompt)} tokens, the model's context holds {self.context}: "
                "leave out its first messages"
            )
        sequence = _Sequence(prompt, min(sampling.max_new_tokens, room), sampling, hear)
        self._waiting.put(sequence)
        return sequence.answer

    def close(self) -> None:
        """Stop generating; answers that are not finished fail."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        with torch.inference_mode():
            while self._admit():
                try:
                    self._step()
                except Exception as error:  # whatever the model raises belongs to those who asked
                    logger.exception("generation failed")
                    self._fail(error)
        self._fail(RuntimeError("the model server is stopping"))

    def _admit(self) -> bool:
        """Take waiting conversations while rows are free; block when there is nothing to do."""
        while len(self._active) < self._model.cache.rows:
            try:
                sequence = self._waiting.get(block=not self._active)
            except queue.Empty:
                return True
            if sequence is None:
                return False
            if sequence.answer.cancelled():
                continue
            self._active.append(sequence)
            try:
                self._prefill(sequence)
            except Exception as error:
                logger.exception("reading a prompt failed")
                self._fail(error)
        return True

    def _prefill(self, sequence: _Sequence) -> None:
        row = self._model.cache.busy
        self._extend(row, self._model.prefill(sequence.tokens))

    def _step(self) -> None:
        """Generate one token for every active row."""
        if not self._active:
            return
        logits = self._model.step([sequence.tokens[-1] for sequence in self._active])
        # From the last row on: a row that ends is replaced by the last one, which has had its token already.
        for row in reversed(range(len(self._active))):
            self._extend(row, logits[row])

    def _extend(self, row: int, logits: torch.Tensor) -> None:
        sequence = self._active[row]
        token = next_token.choose(logits, sequence.tokens, sequence.sampling)
        generated = len(sequence.tokens) - sequence.prompt_length
        if token not in self.stop_tokens:
            sequence.tokens.append(token)
            generated += 1
        ended = token in self.stop_tokens
        if ended or generated == sequence.limit or sequence.answer.cancelled():
            self._finish(row, ended)
        elif sequence.hear is not None:
            self._say(sequence)

    def _say(self, sequence: _Sequence, *, all_of_it: bool = False) -> None:
        """Hand on what is new of the text, but for a character that is not whole yet."""
        text = self._text(sequence)
        if sequence.hear is not None and len(text) > sequence.heard and (all_of_it or text[-1] != "\ufffd"):
            sequence.hear(text[sequence.heard :])
            sequence.heard = len(text)

    def _text(self, sequence: _Sequence) -> str:
        """The answer so far; more tokens only add to it."""
        return self._tokenizer.decode(sequence.tokens[sequence.prompt_length :])

    def _finish(self, row: int, ended: bool) -> None:
        sequence = self._active[row]
        self._model.cache.release(row)
        self._active[row] = self._active[-1]
        self._active.pop()
        self._say(sequence, all_of_it=True)
        answer = Generated(
            text=self._text(sequence),
            prompt_tokens=sequence.prompt_length,
            tokens=len(sequence.tokens) - sequence.prompt_length,
            is_whole=ended,
        )
        _settle(sequence.answer, answer)

    def _fail(self, error: Exception) -> None:
        for sequence in self._active:
            _settle(sequence.answer, error)
        self._active.clear()
        self._model.cache.clear()


def _settle(answer: Future[Generated], result: Generated | Exception) -> None:
    try:
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
    except InvalidStateError:
        logger.info("an answer was dropped: its client has gone")
