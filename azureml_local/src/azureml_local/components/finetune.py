"""Fourth step: fine-tune the base model on the CPU."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from azureml_local import imports, precision, processor
from azureml_local.components import interface
from azureml_local.components.arguments import Values, parse, say_without_meaning
from azureml_local.components.interface import Port

CHECKPOINTS_VARIABLE = "AZUREML_LOCAL_CHECKPOINTS"
"""Names a directory that outlives the process: one that was killed goes on from there."""

_OUTPUTS = {"pytorch_model_folder": Port("uri_folder")}
_WITHOUT_MEANING = {
    "auto_find_batch_size": "a batch of any size is computed in packs that fit into memory",
    "eval_accumulation_steps": "only the sum of the losses is kept",
    "dataloader_num_workers": "the data is in memory",
    "ignore_mismatched_sizes": "no layer is made again",
    "metric_for_best_model": "for conversations the loss is the only metric",
    "resume_from_checkpoint": "a step that was interrupted always goes on from its newest checkpoint",
    "save_total_limit": "only the newest checkpoint is kept, and none after the end",
    "apply_deepspeed": "DeepSpeed shards a model over GPUs",
    "deepspeed": "DeepSpeed shards a model over GPUs",
    "deepspeed_stage": "DeepSpeed shards a model over GPUs",
    "apply_ort": "ONNX Runtime trains on GPUs",
}


def main(arguments: list[str] | None = None) -> int:
    values = parse(__doc__ or "", interface.FINETUNE_INPUTS, _OUTPUTS, arguments)
    say_without_meaning(values, _WITHOUT_MEANING, interface.FINETUNE_INPUTS)
    processor.keep_memory()
    processor.wait_without_spinning()
    try:
        _finetune(values)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _finetune(values: Values) -> None:
    with imports.uncollected():
        import torch

        from azureml_local.components.tokenized import Tokenized
        from azureml_local.components.training import output
        from azureml_local.components.training.decoder import Decoder
        from azureml_local.components.training.loop import Training
        from azureml_local.components.training.metrics import Metrics
        from azureml_local.components.training.parameters import Parameters

    parameters = Parameters.of(values)
    metrics = Metrics()
    base: Path = values["model_selector_output"]
    data: Path = values["preprocess_output"]
    dtype = precision.dtype(parameters.precision) if parameters.apply_lora else torch.float32
    if parameters.precision == "16" and dtype == torch.float32:
        reason = "there are no bfloat16 units here" if parameters.apply_lora else "all weights are trained"
        print(f"precision=16 is accepted; float32 is used, as {reason}.")
    decoder = Decoder.load(base, dtype, precision.device())
    if parameters.apply_lora:
        decoder.adapt(parameters.lora_r, parameters.lora_alpha, parameters.lora_dropout, parameters.seed)
    directory = os.environ.get(CHECKPOINTS_VARIABLE)
    training = Training(
        decoder,
        parameters,
        Tokenized.load(data / "train.npz"),
        Tokenized.load(data / "validation.npz"),
        metrics,
        Path(directory) if directory else None,
    )
    trainable = sum(p.numel() for p in decoder.parameters() if p.requires_grad)
    print(
        f"{training.steps} steps of {training.batch} conversations; {trainable:,} trained weights.",
        flush=True,
    )
    training.run()
    output.write(decoder, parameters, base, values["pytorch_model_folder"])
    metrics.close()


if __name__ == "__main__":
    sys.exit(main())
