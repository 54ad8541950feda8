"""MLflow python model that answers conversations; copied into every model folder, it needs nothing beside."""

from __future__ import annotations

import json
from typing import Any

import mlflow


class ChatModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Generates the next assistant turn of each conversation with a Hugging Face causal language model."""

    def load_context(self, context: Any) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = context.artifacts["model"]
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        native = torch.cuda.is_available() or torch.cpu.get_capabilities().get("avx512_bf16", False)
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16 if native else torch.float32
        ).eval()
        if torch.cuda.is_available():
            self._model.to("cuda")

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> list[str]:
        """One answer a conversation.

        `model_input` is a list of conversations (lists of {"role", "content"}), or a table whose column
        `input_string` holds them, as values or as JSON.
        """
        import torch

        options = {"max_new_tokens": 200, "temperature": 0.6, "top_p": 0.9, "do_sample": True}
        options |= params or {}
        if not options["do_sample"]:
            del options["temperature"], options["top_p"]
        encoded = self._tokenizer.apply_chat_template(
            _conversations(model_input),
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        ).to(self._model.device)
        with torch.inference_mode():
            generated = self._model.generate(**encoded, pad_token_id=self._tokenizer.pad_token_id, **options)
        answers: list[str] = self._tokenizer.batch_decode(
            generated[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return answers


def _conversations(model_input: Any) -> list[list[dict[str, str]]]:
    values = list(model_input["input_string"]) if hasattr(model_input, "columns") else list(model_input)
    if values and isinstance(values[0], dict):
        values = [values]
    return [json.loads(value) if isinstance(value, str) else list(value) for value in values]


mlflow.models.set_model(ChatModel())
