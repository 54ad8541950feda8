"""First step: look for what would fail later, after minutes or hours that somebody pays for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from azureml_local.components import conversations, interface
from azureml_local.components.arguments import Values, parse, say_without_meaning
from azureml_local.components.conversations import DataError
from azureml_local.components.interface import Port

_OUTPUTS = {"validation_info": Port("uri_file")}
_NO_CLUSTER = "the steps run one after another on this machine, whatever the clusters are called"
_WITHOUT_MEANING = {
    "num_nodes_finetune": "the local workspace trains on one machine",
    "number_of_gpu_to_use_finetuning": "the local workspace trains on the CPU",
    "compute_finetune": _NO_CLUSTER,
    "compute_model_import": _NO_CLUSTER,
    "compute_data_preprocess": _NO_CLUSTER,
}


def main(arguments: list[str] | None = None) -> int:
    values = parse(__doc__ or "", interface.VALIDATION_INPUTS, _OUTPUTS, arguments)
    say_without_meaning(values, _WITHOUT_MEANING, interface.VALIDATION_INPUTS)
    objections = list(_objections(values))
    rows: dict[str, int] = {}
    for split, path in data_paths(values).items():
        try:
            rows[split] = len(conversations.read(path))
        except (DataError, OSError) as error:
            objections.append(str(error))
    for objection in objections:
        print(objection, file=sys.stderr)
    if objections:
        return 1
    info = {"task_name": values["task_name"], "rows": rows}
    values["validation_info"].parent.mkdir(parents=True, exist_ok=True)
    values["validation_info"].write_text(json.dumps(info, indent=1) + "\n")
    print("Rows: " + ", ".join(f"{split} {count}" for split, count in rows.items()))
    return 0


def data_paths(values: Values) -> dict[str, Path]:
    """Where each split given is; a table wins over a file."""
    found = {}
    for split in ("train", "validation", "test"):
        table, file = values[f"{split}_mltable_path"], values[f"{split}_file_path"]
        if table and file:
            print(f"Both {split}_mltable_path and {split}_file_path are given; the table is used.")
        if table or file:
            found[split] = Path(table or file)
    return found


def _objections(values: Values) -> Iterator[str]:
    if "train" not in data_paths(values):
        yield "train_file_path or train_mltable_path needs to be given."
    if values["learning_rate"] is not None and values["learning_rate"] <= 0:
        yield f"The learning rate must be greater than 0, not {values['learning_rate']}."
    if values["apply_deepspeed"] and values["auto_find_batch_size"]:
        yield "apply_deepspeed and auto_find_batch_size cannot both be true."
    for name in ("adam_beta1", "adam_beta2"):
        if values[name] is not None and not 0 <= values[name] < 1:
            yield f"{name} must be at least 0 and less than 1, not {values[name]}."


if __name__ == "__main__":
    sys.exit(main())
