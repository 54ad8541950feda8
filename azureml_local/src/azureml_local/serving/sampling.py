"""The choice of the next token: greedy, or temperature, top-k and top-p."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from azureml_local.serving.chat import Sampling

HEAD = 512  # tokens looked at first: top-p nearly always ends among them, and sorting a vocabulary is slow


def choose(logits: torch.Tensor, seen: Sequence[int], sampling: Sampling) -> int:
    """Pick a token id from ``logits`` (shape (vocabulary,)) after the tokens ``seen`` so far."""
    logits = logits.float()
    if sampling.repetition_penalty != 1.0:
        logits = _penalised(logits, seen, sampling.repetition_penalty)
    if sampling.greedy:
        return int(logits.argmax())
    probabilities, tokens = _nucleus(torch.softmax(logits / sampling.temperature, dim=-1), sampling)
    return int(tokens[torch.multinomial(probabilities, 1)])


def _penalised(logits: torch.Tensor, seen: Sequence[int], penalty: float) -> torch.Tensor:
    tokens = torch.tensor(sorted(set(seen)), dtype=torch.long)
    scores = logits[tokens]
    return logits.index_copy(0, tokens, torch.where(scores > 0, scores / penalty, scores * penalty))


def _nucleus(probabilities: torch.Tensor, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """The most likely tokens and their probabilities: at most top_k, and as few as reach top_p."""
    vocabulary = probabilities.shape[0]
    limit = min(sampling.top_k or vocabulary, vocabulary)
    if sampling.top_p >= 1 and limit == vocabulary:
        return probabilities, torch.arange(vocabulary)
    top, tokens = torch.topk(probabilities, min(vocabulary, HEAD) if limit == vocabulary else limit)
    if limit == vocabulary and float(top.sum()) < sampling.top_p:
        top, tokens = torch.sort(probabilities, descending=True)
    if sampling.top_p < 1:
        # top-p counts within what top-k left; the token that crosses the threshold is kept.
        share = top / top.sum() if limit < vocabulary else top
        kept = int((share.cumsum(0) - share < sampling.top_p).sum())
        top, tokens = top[:kept], tokens[:kept]
    return top, tokens
