"""The decoder against transformers' models, and its adapters against PEFT's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from azureml_local.components.tokenized import Tokenized
from azureml_local.components.training import output, packing
from azureml_local.components.training.decoder import Decoder
from azureml_local.pretrained.architecture import Architecture
from tests.azureml_local.components.conftest import CONFIG, KINDS, write_model_of_kind


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A random model of each kind that is known."""
    write_model_of_kind(tmp_path, request.param, vocabulary=600)
    return tmp_path


def reference_loss(model: Any, pack: packing.Pack) -> torch.Tensor:
    total = torch.zeros(())
    for start, end in pack.spans:
        tokens, learn = pack.tokens[start:end], pack.learn[start:end]
        logits = model(input_ids=tokens[None]).logits[0, :-1]
        total = total + torch.nn.functional.cross_entropy(
            logits[learn[1:]].float(), tokens[1:][learn[1:]], reduction="sum"
        )
    return total


@pytest.mark.slow
def test_loss_and_gradients_are_those_of_transformers(
    folder: Path, data: tuple[Tokenized, Tokenized]
) -> None:
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    decoder = Decoder.load(folder, torch.float32)
    pack = packing.pack(data[0], [0, 1, 2])
    ours, theirs = decoder.loss(pack.tokens, pack.learn, pack.spans), reference_loss(reference, pack)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    ours.backward()
    theirs.backward()
    wanted = {name: value.grad for name, value in reference.named_parameters()}
    for linear in decoder.linears():
        grad = torch.cat([wanted[f"{name}.weight"] for name in linear.names])
        torch.testing.assert_close(linear.weight.grad, grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        decoder.embeddings.grad, wanted["model.embed_tokens.weight"], rtol=1e-3, atol=1e-3
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # within PEFT
def test_adapters_are_those_of_peft(
    tiny: Path, data: tuple[Tokenized, Tokenized], tmp_path: Path, parameters: Any
) -> None:
    """What is written as adapter and what is written as merged weights both give our loss in transformers."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    decoder = Decoder.load(tiny, torch.float32)
    decoder.adapt(4, 8, 0.0, seed=1)
    for linear in decoder.linears():
        for up in linear.ups:
            up.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(5))
    pack = packing.pack(data[0], [0, 3])
    ours = decoder.loss(pack.tokens, pack.learn, pack.spans).detach()
    output.write(decoder, parameters(lora_r=4, lora_alpha=8), tiny, tmp_path)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(ours, reference_loss(merged, pack).detach(), rtol=1e-5, atol=1e-4)
    base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    assert abs(reference_loss(base, pack).item() - ours.item()) > 0.1
    adapted = PeftModel.from_pretrained(base, tmp_path / "adapter")
    torch.testing.assert_close(ours, reference_loss(adapted, pack).detach(), rtol=1e-5, atol=1e-4)


def test_adapters_alone_are_trained(tiny: Path) -> None:
    decoder = Decoder.load(tiny, torch.float32)
    decoder.adapt(2, 4, 0.0, seed=1)
    trained = {name.rsplit(".", 2)[-1] for name, p in decoder.named_parameters() if p.requires_grad}
    assert trained == {"down", "0", "1", "2"}


def test_packing_changes_no_loss(tiny: Path, data: tuple[Tokenized, Tokenized]) -> None:
    decoder = Decoder.load(tiny, torch.float32)
    together = packing.pack(data[0], [0, 1, 2, 3])
    alone = [packing.pack(data[0], [place]) for place in range(4)]
    total = sum(decoder.loss(p.tokens, p.learn, p.spans).item() for p in alone)
    loss = decoder.loss(together.tokens, together.learn, together.spans).item()
    assert loss == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rotary"),
        ({"hidden_act": "gelu"}, "gelu"),
    ],
)
def test_a_model_that_is_not_known_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **change}))
    with pytest.raises(ValueError, match=message):
        Architecture.of(tmp_path)
