"""The generator against transformers: greedy answers of each kind of model, several at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from azureml_local.pretrained.chat_tokenizer import ChatTokenizer
from azureml_local.serving import causal_model
from azureml_local.serving.chat import InvalidRequest, Message, Sampling
from azureml_local.serving.decoder import Decoder
from azureml_local.serving.generation import Generator
from tests.azureml_local.components.conftest import (
    CONFIG,
    KINDS,
    write_model,
    write_model_of_kind,
    write_tokenizer,
)

# Of what is not computed here: left to transformers, and served all the same.
OTHERS: dict[str, dict[str, Any]] = {
    "scaled rotation": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "another activation": {"hidden_act": "gelu"},
}


def conversation(length: int) -> list[Message]:
    return [{"role": "user", "content": "the quick brown fox " * length}]


CONVERSATIONS = [conversation(length) for length in (3, 1, 7, 2, 5)]
LENGTHS = (12, 30, 4, 20, 9)


@pytest.fixture(params=[*KINDS, *OTHERS])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    vocabulary = write_tokenizer(tmp_path)
    if request.param in KINDS:
        write_model_of_kind(tmp_path, request.param, vocabulary=vocabulary)
    else:
        write_model(tmp_path, {**CONFIG, **OTHERS[request.param], "vocab_size": vocabulary})
    _, model = causal_model.load(tmp_path, torch.float32, 1)
    assert isinstance(model, Decoder) == (request.param in KINDS)
    return tmp_path


@pytest.mark.slow
def test_greedy_answers_are_those_of_transformers(folder: Path) -> None:
    """More conversations than rows, so that rows are filled, moved and used again."""
    generator = Generator(folder, rows=3, precision="32")
    asked = [
        generator.submit(each, Sampling(max_new_tokens=length, do_sample=False))
        for each, length in zip(CONVERSATIONS, LENGTHS, strict=True)
    ]
    answers = [(each.result().text, each.result().prompt_tokens) for each in asked]
    generator.close()
    assert answers == _expected(folder)


def _expected(folder: Path) -> list[tuple[str, int]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    answers = []
    for each, length in zip(CONVERSATIONS, LENGTHS, strict=True):
        prompt = tokenizer.apply_chat_template(
            each, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            output = model.generate(**prompt, max_new_tokens=length, do_sample=False, use_cache=True)
        read = prompt["input_ids"].shape[1]
        answers.append((str(tokenizer.decode(output[0, read:], skip_special_tokens=True)), read))
    return answers


TEMPLATES = {
    "what is not given is none": "{% if tools is none and documents is none %}fine{% endif %}",
    "marks of what is said": "{% generation %}{{ messages[0].content }}{% endgeneration %}",
    "JSON as it stands": "{{ messages | tojson }}",
    "ends of loops": "{% for m in messages %}{% break %}{% endfor %}done",
    "specials": "{{ bos_token }}{{ eos_token }}{% if add_generation_prompt %}now{% endif %}",
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_templates_are_rendered_as_by_transformers(tiny: Path, tmp_path: Path, template: str) -> None:
    from transformers import AutoTokenizer

    config = json.loads((tiny / "tokenizer_config.json").read_text()) | {"chat_template": template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_bytes((tiny / "tokenizer.json").read_bytes())
    messages = [{"role": "user", "content": "<Grüße> & more"}]
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ours = ChatTokenizer(tmp_path)
    for prompt in (False, True):
        wanted = theirs.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False)
        assert ours.render(messages, add_generation_prompt=prompt) == wanted


def test_a_conversation_that_the_template_refuses_is_refused(tiny: Path, tmp_path: Path) -> None:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tiny / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ raise_exception('speak in turns') }}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    generator = Generator(tmp_path, rows=1)
    with pytest.raises(InvalidRequest, match="speak in turns"):
        generator.submit(conversation(1), Sampling())
    generator.close()


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_of_other_files_is_left_to_transformers(tiny: Path, tmp_path: Path, file: str) -> None:
    for each in tiny.iterdir():
        if each.name != file:
            (tmp_path / each.name).write_bytes(each.read_bytes())
    with pytest.raises(FileNotFoundError, match=file):  # what the choice of who computes it falls back at
        ChatTokenizer(tmp_path)
