"""The chat completion fine-tuning of the local registry: its definition and the programs of its steps."""

from __future__ import annotations

from azureml_local.components.definitions import PIPELINE, PIPELINE_VERSION, Definition, definitions

__all__ = ["PIPELINE", "PIPELINE_VERSION", "Definition", "definitions"]
