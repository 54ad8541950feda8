"""A decoder of the Llama family that computes what training needs and no more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from azureml_local.components.training.flash_attention import flash_attention
from azureml_local.components.training.functions import (
    AdaptedLinear,
    Attention,
    CrossEntropy,
    RmsNorm,
    Spans,
    SwiGlu,
)
from azureml_local.pretrained import weights as pretrained_weights
from azureml_local.pretrained.architecture import Architecture
from azureml_local.pretrained.rotation import rotation

_HEAD_CHUNK = 128  # rows of logits at a time: with 50,000 tokens 25 MB, which a cache still holds


class Linear(nn.Module):  # type: ignore[misc]
    """Linear layers of the same input as one product, each with its adapter if `adapt` was called.

    `names` are the layers' names in the model's files.
    """

    def __init__(self, names: tuple[str, ...], weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.names = names
        parts = [weights[f"{name}.weight"] for name in names]
        self.sizes = [len(part) for part in parts]
        self.weight = nn.Parameter(torch.cat(parts) if len(parts) > 1 else parts[0])
        biases = [weights[f"{name}.bias"] for name in names if f"{name}.bias" in weights]
        self.bias = nn.Parameter(torch.cat(biases)) if biases else None
        self.scale, self.dropout = 0.0, 0.0
        self.down: nn.Parameter | None = None
        self.ups = nn.ParameterList()

    def adapt(self, rank: int, alpha: float, dropout: float, generator: torch.Generator) -> None:
        """Add adapters, initialised as PEFT does: A uniform after Kaiming with slope sqrt(5), B zero."""
        inputs = self.weight.shape[1]
        bound = 1 / math.sqrt(inputs)
        down = torch.empty(len(self.names) * rank, inputs).uniform_(-bound, bound, generator=generator)
        device = self.weight.device  # drawn on the processor: the same adapters on every device
        self.down = nn.Parameter(down.to(device))
        self.ups = nn.ParameterList(
            nn.Parameter(torch.zeros(size, rank, device=device)) for size in self.sizes
        )
        self.scale, self.dropout = alpha / rank, dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.dropout and self.training and self.down is not None:
            return self._with_dropout(x)
        result: torch.Tensor = AdaptedLinear.apply(
            x, self.weight, self.bias, self.scale, self.down, *self.ups
        )
        return result

    def adapters(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """Name, A (rank, in) and B (out, rank) of each layer."""
        if self.down is None:
            return
        downs = self.down.detach().chunk(len(self.names))
        for name, down, up in zip(self.names, downs, self.ups, strict=True):
            yield name, down, up.detach()

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Weights, with the adapters added, and biases of each layer by their names in the model's files."""
        weights = self.weight.detach().split(self.sizes)
        added = {name: self.scale * (up @ down) for name, down, up in self.adapters()}
        for name, weight in zip(self.names, weights, strict=True):
            yield f"{name}.weight", weight.float() + added[name] if name in added else weight
        if self.bias is not None:
            for name, bias in zip(self.names, self.bias.detach().split(self.sizes), strict=True):
                yield f"{name}.bias", bias

    def _with_dropout(self, x: torch.Tensor) -> torch.Tensor:
        """The adapters alone see the input with holes, each its own."""
        y = torch.nn.functional.linear(x, self.weight, self.bias)
        assert self.down is not None
        added = []
        for down, up in zip(self.down.chunk(len(self.names)), self.ups, strict=True):
            holed = torch.nn.functional.dropout(x, self.dropout)
            added.append(holed @ down.to(x.dtype).T @ up.to(x.dtype).T)
        return y + self.scale * torch.cat(added, 1)


class Norm(nn.Module):  # type: ignore[misc]
    """Root-mean-square norm with the weight called `name`."""

    def __init__(self, name: str, weights: Mapping[str, torch.Tensor], epsilon: float) -> None:
        super().__init__()
        self.name, self.epsilon = f"{name}.weight", epsilon
        self.weight = nn.Parameter(weights[self.name])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = RmsNorm.apply(x, self.weight, self.epsilon)
        return result


class Layer(nn.Module):  # type: ignore[misc]
    """Attention and feed-forward block over the tokens of a pack."""

    def __init__(self, place: int, shape: Architecture, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        at = f"model.layers.{place}"
        self.shape = shape
        self.attention_norm = Norm(f"{at}.input_layernorm", weights, shape.epsilon)
        self.qkv = Linear(tuple(f"{at}.self_attn.{name}" for name in shape.qkv), weights)
        self.out = Linear((f"{at}.self_attn.o_proj",), weights)
        self.mlp_norm = Norm(f"{at}.post_attention_layernorm", weights, shape.epsilon)
        self.gate_up = Linear(tuple(f"{at}.mlp.{name}" for name in shape.gate_up), weights)
        self.down = Linear((f"{at}.mlp.down_proj",), weights)

    def forward(
        self,
        x: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        spans: Spans,
        rows: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`rows` are the only tokens whose result is wanted; every token is attended to all the same."""
        shape = self.shape
        qkv = self.qkv(self.attention_norm(x))
        # On the processor, the products of short conversations are quicker than PyTorch's own kernel.
        attend = Attention.apply if qkv.device.type == "cpu" else flash_attention
        mixed = attend(qkv, *rotation, spans, shape.heads, shape.key_heads, shape.window)
        if rows is not None:
            mixed, x = mixed[rows], x[rows]
        x = x + self.out(mixed)
        result: torch.Tensor = x + self.down(SwiGlu.apply(self.gate_up(self.mlp_norm(x))))
        return result


class Decoder(nn.Module):  # type: ignore[misc]
    """Embeddings, layers, norm, and a head that is evaluated only where a token is to be learnt."""

    def __init__(self, shape: Architecture, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = nn.Parameter(weights["model.embed_tokens.weight"])
        self.layers = nn.ModuleList(Layer(place, shape, weights) for place in range(shape.layers))
        self.norm = Norm("model.norm", weights, shape.epsilon)
        self.head = self.embeddings if shape.tied else nn.Parameter(weights["lm_head.weight"])

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, device: torch.device | str = "cpu") -> Decoder:
        """Read config.json and the safetensors files of a Hugging Face folder, onto the device."""
        return cls(Architecture.of(folder), pretrained_weights.read(folder, dtype, device))

    def adapt(self, rank: int, alpha: float, dropout: float, seed: int) -> None:
        """Freeze the weights and add adapters to every linear layer but the head."""
        self.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        for linear in self.linears():
            linear.adapt(rank, alpha, dropout, generator)

    def linears(self) -> Iterator[Linear]:
        return (module for module in self.modules() if isinstance(module, Linear))

    def loss(self, tokens: torch.Tensor, learn: torch.Tensor, spans: Spans) -> torch.Tensor:
        """The sum of the cross entropies of the tokens marked in `learn`, each given those before it.

        Shapes: tokens and learn (tokens,), on whatever device; `spans` are the conversations' (start, end).
        """
        device = self.embeddings.device
        tokens, targets = tokens.to(device), learn.to(device, copy=True)
        targets[[start for start, _ in spans]] = False  # nothing comes before a conversation's first token
        rows = targets[1:].nonzero()[:, 0]
        rotation = self._rotation(spans)
        x = torch.nn.functional.embedding(tokens, self.embeddings)
        for layer in self.layers[:-1]:
            x = layer(x, rotation, spans)
        x = self.norm(self.layers[-1](x, rotation, spans, rows))
        result: torch.Tensor = CrossEntropy.apply(x, self.head, tokens[rows + 1], _HEAD_CHUNK)
        return result

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every weight by its name in the model's files, adapters added."""
        yield "model.embed_tokens.weight", self.embeddings.detach()
        for module in self.modules():
            if isinstance(module, Linear):
                yield from module.tensors()
            elif isinstance(module, Norm):
                yield module.name, module.weight.detach()
        if not self.shape.tied:
            yield "lm_head.weight", self.head.detach()

    def _rotation(self, spans: Spans) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of every token's position in its conversation, (tokens, turned / 2)."""
        positions = torch.cat([torch.arange(end - start) for start, end in spans])
        return rotation(self.shape, positions, self.embeddings)
