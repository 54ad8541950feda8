"""Text generation with continuous batching: requests join and leave the batch between two tokens."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from azureml_local.precision import device, dtype
from azureml_local.serving import sampling as next_token
from azureml_local.serving.chat import InvalidRequest, Message, Sampling
from azureml_local.serving.completions import Generated
from azureml_local.serving.packing import pack
from azureml_local.serving.slots import SlotCache

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
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._device = device()
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype(precision))
        self._model = loaded.to(self._device).eval()
        self._model.requires_grad_(False)
        pack(self._model, rows)
        config = self._model.config.get_text_config()
        self.context: int = config.max_position_embeddings
        self.usual = _usual(self._model.generation_config)
        self._window: int | None = getattr(config, "sliding_window", None)
        self.stop_tokens = _stop_tokens(self._model, self._tokenizer)
        self._cache = SlotCache(config.num_hidden_layers, rows)
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
            prompt = self._tokenizer.apply_chat_template(
                list(conversation), add_generation_prompt=True, return_dict=False
            )
        except Exception as error:  # templates are Jinja and raise what their author chose
            raise InvalidRequest(f"the model's chat template refuses this conversation: {error}") from error
        room = self.context - len(prompt)
        if room < 1:
            raise InvalidRequest(
                f"the conversation has {len(prompt)} tokens, the model's context holds {self.context}: "
                "leave out its first messages"
            )
        sequence = _Sequence(list(prompt), min(sampling.max_new_tokens, room), sampling, hear)
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
        while len(self._active) < self._cache.rows:
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
        length = len(sequence.tokens)
        row = self._cache.start_row(length)
        positions = torch.arange(length)
        mask = positions[None, :] <= positions[:, None]
        if self._window:
            mask &= positions[None, :] > positions[:, None] - self._window
        logits = self._forward(torch.tensor([sequence.tokens]), positions[None], mask[None, None])
        self._extend(row, logits[0])

    def _step(self) -> None:
        """Generate one token for every active row."""
        if not self._active:
            return
        positions = self._cache.start_step()
        columns = torch.arange(self._cache.width)
        mask = columns[None, :] <= positions[:, None]
        if self._window:
            mask &= columns[None, :] > positions[:, None] - self._window
        latest = torch.tensor([[sequence.tokens[-1]] for sequence in self._active])
        logits = self._forward(latest, positions[:, None], mask[:, None, None])
        # From the last row on: a row that ends is replaced by the last one, which has had its token already.
        for row in reversed(range(len(self._active))):
            self._extend(row, logits[row])

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of each row's last token, shape (rows, vocabulary), where the next ones are chosen."""
        output: Any = self._model(
            input_ids=tokens.to(self._device),
            attention_mask=mask.to(self._device),
            position_ids=positions.to(self._device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits.cpu()

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
        generated = sequence.tokens[sequence.prompt_length :]
        text: str = self._tokenizer.decode(
            generated, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _finish(self, row: int, ended: bool) -> None:
        sequence = self._active[row]
        self._cache.release(row)
        self._active[row] = self._active[-1]
        self._active.pop()
        self._say(sequence, all_of_it=True)
        generated = sequence.tokens[sequence.prompt_length :]
        answer = Generated(
            text=self._tokenizer.decode(generated, skip_special_tokens=True),
            prompt_tokens=sequence.prompt_length,
            tokens=len(generated),
            is_whole=ended,
        )
        _settle(sequence.answer, answer)

    def _fail(self, error: Exception) -> None:
        for sequence in self._active:
            _settle(sequence.answer, error)
        self._active.clear()
        self._cache.clear()


def _settle(answer: Future[Generated], result: Generated | Exception) -> None:
    try:
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
    except InvalidStateError:
        logger.info("an answer was dropped: its client has gone")


def _usual(configured: Any) -> Mapping[str, Any]:
    """What the model's own generation_config says of sampling."""
    names = ("temperature", "top_p", "top_k", "repetition_penalty")
    return {name: value for name in names if (value := getattr(configured, name, None)) is not None}


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)
