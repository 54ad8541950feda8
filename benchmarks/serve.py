"""Tokens and requests a second of the model server's generator, beside transformers' generate.

Same model, prompts, number type and threads, in one process: ``python -m benchmarks.serve``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.spread import spread

MODEL, VERSION = "SmolLM2-135M-Instruct", "1"
PROMPTS = (
    "What is a black hole?",
    "Tell me a story about a dog who learns to bake bread with the help of a friendly baker.",
    "How do I get from the station to the old town?",
    "Who wrote Hamlet, and when?",
    "Name three rivers.",
    "Explain to a child why the sky is blue, and why it turns red in the evening.",
    "What should I cook tonight?",
    "Write a haiku about the sea.",
)


def main() -> None:
    """Print the table, a line for each concurrency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=50, help="new tokens a request, none stops earlier")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured, in turns")
    parser.add_argument(
        "--cache", type=Path, help="where the model is unpacked (default: a temporary folder)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(arguments.cache or Path(scratch), arguments.tokens, arguments.concurrency, arguments.rounds)


def measure(cache: Path, tokens: int, concurrency: Sequence[int], rounds: int) -> None:
    """Time both ways at each concurrency, in turns, after one unmeasured round."""
    from azureml_local.catalogue import materialise
    from azureml_local.serving.generation import Generator

    weights = materialise(MODEL, VERSION, cache) / "artifacts" / "model"
    generator = Generator(weights, rows=max(concurrency))
    ways = {"model server": _ours(generator, tokens), "transformers": _theirs(weights, tokens)}
    print(f"| requests at once | {', tokens/s | '.join(ways)}, tokens/s | ratio |")
    print("| ---: " * (len(ways) + 2) + "|")
    for count in concurrency:
        conversations = [[{"role": "user", "content": prompt}] for prompt in PROMPTS[:count]]
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for name, generate in list(ways.items()) * (1 + rounds):
            started = time.perf_counter()
            generated = generate(conversations)
            speeds[name].append(generated / (time.perf_counter() - started))
        ours, theirs = (measured[1:] for measured in speeds.values())
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(f"| {count} | {spread(ours)} | {spread(theirs)} | {spread(ratios)} |")
    generator.close()


def _ours(generator: Any, tokens: int) -> Callable[[Any], int]:
    from azureml_local.serving.chat import Sampling

    sampling = Sampling(max_new_tokens=tokens)
    generator.stop_tokens = frozenset()  # every answer has its full length, so that the ways are comparable

    def generate(conversations: Any) -> int:
        answers = [generator.submit(conversation, sampling) for conversation in conversations]
        for answer in answers:
            answer.result()
        return tokens * len(answers)

    return generate


def _theirs(weights: Path, tokens: int) -> Callable[[Any], int]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from azureml_local.precision import dtype

    tokenizer = AutoTokenizer.from_pretrained(weights, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype()).eval()

    def generate(conversations: Any) -> int:
        prompts = tokenizer.apply_chat_template(
            conversations, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            model.generate(
                **prompts,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                do_sample=True,
                temperature=0.6,
                top_p=0.9,
                pad_token_id=tokenizer.pad_token_id,
            )
        return tokens * len(conversations)

    return generate


if __name__ == "__main__":
    main()
