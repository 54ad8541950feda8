"""Training and serving on a GPU, found by themselves: the losses and answers of the processor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from azureml_local import precision
from azureml_local.components.tokenized import Tokenized
from azureml_local.components.training import packing
from azureml_local.components.training.decoder import Decoder
from azureml_local.serving.chat import Sampling
from azureml_local.serving.generation import Generator

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU on this machine")


@pytest.mark.slow
def test_a_decoder_computes_where_its_weights_are(tiny: Path, data: tuple[Tokenized, Tokenized]) -> None:
    """Without a GPU as well: nothing is made on the processor that must be where the weights are."""
    decoder = Decoder.load(tiny, torch.float32, "meta")
    decoder.adapt(2, 4, 0.0, seed=1)
    assert {parameter.device.type for parameter in decoder.parameters()} == {"meta"}
    cos, sin = decoder._rotation(((0, 3), (3, 5)))
    assert (cos.device.type, sin.device.type) == ("meta", "meta")


@on_a_gpu
def test_losses_and_gradients_on_a_gpu_are_those_of_the_processor(
    tiny: Path, data: tuple[Tokenized, Tokenized]
) -> None:
    pack = packing.pack(data[0], [0, 1, 2])
    losses, gradients = [], []
    for device in (torch.device("cpu"), precision.device()):
        decoder = Decoder.load(tiny, torch.float32, device)
        decoder.adapt(4, 8, 0.0, seed=1)
        loss = decoder.loss(pack.tokens, pack.learn, pack.spans)
        loss.backward()
        losses.append(loss.item())
        gradients.append([up.grad.cpu() for linear in decoder.linears() for up in linear.ups])
    assert precision.device().type == "cuda"
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


@on_a_gpu
def test_a_gpu_answers_several_at_once(tiny: Path) -> None:
    generator = Generator(tiny, rows=2)
    sampling = Sampling(max_new_tokens=5, do_sample=False)
    asked = [generator.submit([{"role": "user", "content": text}], sampling) for text in ("a", "b b", "c")]
    assert all(answer.result().tokens <= 5 for answer in asked)
    generator.close()
