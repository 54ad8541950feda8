"""Third step: conversations become tokens, of which those that the assistant said are to be learnt."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from azureml_local.components import conversations, interface, splits
from azureml_local.components.arguments import Values, parse, say_without_meaning
from azureml_local.components.chat_template import ChatTemplate
from azureml_local.components.conversations import Conversation, DataError
from azureml_local.components.interface import Port
from azureml_local.components.tokenized import Tokenized
from azureml_local.components.validation import data_paths

_OUTPUTS = {"output_dir": Port("uri_folder")}
_WITHOUT_MEANING = {
    "batch_size": "all rows are encoded at once",
    "pad_to_max_length": "conversations are packed end to end, so that nothing is computed for padding",
    "trust_remote_code": "no code of the model's is run",
}


def main(arguments: list[str] | None = None) -> int:
    values = parse(__doc__ or "", interface.PREPROCESS_INPUTS, _OUTPUTS, arguments)
    say_without_meaning(values, _WITHOUT_MEANING, interface.PREPROCESS_INPUTS)
    try:
        _preprocess(values)
    except (DataError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _preprocess(values: Values) -> None:
    model: Path = values["model_selector_output"]
    output: Path = values["output_dir"]
    output.mkdir(parents=True, exist_ok=True)
    given = {split: conversations.read(path) for split, path in data_paths(values).items()}
    if "train" not in given:
        raise DataError("train_file_path or train_mltable_path needs to be given.")
    divided = splits.divide(given["train"], given.get("validation"), given.get("test"))
    template, longest = ChatTemplate(model), _longest(model, values["max_seq_length"])
    for name in ("train", "validation", "test"):
        rows: Sequence[Conversation] = getattr(divided, name)
        tokenized = Tokenized.of(template.encode(rows), longest)
        if not len(tokenized):
            raise DataError(
                f"Unable to continue: found no assistant tokens in the {name} split ({len(rows)} rows) "
                f"within {longest} tokens a row."
            )
        tokenized.save(output / f"{name}.npz")
        print(
            f"{name}: {len(tokenized)} of {len(rows)} conversations, {len(tokenized.tokens)} tokens, "
            f"{int(tokenized.learn.sum())} of them to learn, longest {int(tokenized.lengths().max())}"
        )


def _longest(model: Path, wanted: int) -> int:
    """The longest conversation kept, tokens: what was asked for, but no more than the model's context."""
    context = int(json.loads((model / "config.json").read_text())["max_position_embeddings"])
    return context if wanted <= 0 else min(wanted, context)


if __name__ == "__main__":
    sys.exit(main())
