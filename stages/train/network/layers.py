"""Many networks of one shape as one: weights carry a leading axis of models, and so does every activation.

In the docstrings M is the number of models, B that of rows in a batch; `models` are the indices of those that compute,
None where all do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import gelu

from stages.train.network.bags import BagSum, BatchOfBags
from stages.train.network.models import Models, chosen, drawn, of_models, zeros


@dataclass(frozen=True)
class Shape:
    """Of one network."""

    n_inputs: int
    units: int
    layers: int
    n_outputs: int
    n_embedded: int = 0  # the first so many inputs, each with ...
    frequencies: int = 0  # ... so many waves, ...
    dimensions: int = 0  # ... and so many numbers made of them
    n_positions: int = 0  # of bags: each has a vector

    @property
    def n_joined(self) -> int:
        """Inputs of the first layer."""
        return self.n_inputs + self.n_embedded * self.dimensions


@dataclass(frozen=True)
class Batch:
    """Rows of a batch. X: (M, B, n_inputs)."""

    X: Tensor
    bags: BatchOfBags | None = None


@dataclass(frozen=True)
class Dropout:
    """What share of its hidden units each model drops in a step (Srivastava et al. 2014), drawn from its own generator.

    shares: (M,), below 1, in steps of 1/256: a byte for each unit, eight from each number drawn, which is where the
    time would go.
    """

    shares: Tensor
    generators: Sequence[Generator]

    def __call__(self, x: Tensor) -> Tensor:
        """Shape: (M, B, units) -> the same, in place, what is left scaled up so that its mean stays."""
        n_each = x[0].numel()
        n_dropped = (256 * self.shares).round_().clamp_(max=255)[:, None, None]  # of 256
        drawn = torch.empty(len(x), -(-n_each // 8), dtype=torch.int64, device=x.device)
        for numbers, generator in zip(drawn, self.generators, strict=True):
            numbers.random_(-(2**63), None, generator=generator)
        # Of floats comparing is several times as fast as of bytes, and so is multiplying as by booleans.
        kept = drawn.view(torch.uint8)[:, :n_each].view(x.shape).to(torch.float32).ge_(n_dropped)
        return x.mul_(kept.mul_(256 / (256 - n_dropped)))


class BatchedLinear(nn.Module):
    """A linear layer of each model.

    Shape: (M, B, n_in) -> (M, B, n_out).
    """

    def __init__(self, generators: Sequence[Generator], n_in: int, n_out: int):
        super().__init__()
        self.weight = drawn(generators, n_in, n_out, scale=math.sqrt(2 / max(1, n_in)))  # He et al. 2015
        self.bias = zeros(generators, 1, n_out)

    def forward(self, x: Tensor, models: Models) -> Tensor:
        return torch.baddbmm(chosen(self.bias, models), x, chosen(self.weight, models))


class LearnedScale(nn.Module):
    """A factor of each input of each model.

    Shape: (M, B, n_inputs) -> the same.
    """

    def __init__(self, n_models: int, n_inputs: int):
        super().__init__()
        self.factors = nn.Parameter(torch.ones(n_models, 1, n_inputs))

    def forward(self, x: Tensor, models: Models) -> Tensor:
        return x * chosen(self.factors, models)


class PeriodicEmbedding(nn.Module):
    """Of each number cosines of learned frequencies and phases (Gorishniy, Rubachev and Babenko 2022), mixed linearly
    (Holzmueller, Grinsztajn and Steinwart 2024).

    Shape: (M, B, n_numbers) -> (M, B, n_numbers * dimensions).

    deviations: of each model's frequencies at the start, in cycles per deviation of the number.
    """

    def __init__(self, generators: Sequence[Generator], shape: Shape, deviations: Sequence[float]):
        super().__init__()
        size = (shape.n_embedded, shape.frequencies)
        self.frequencies = drawn(generators, *size, scale=1.0)
        self.frequencies.data *= torch.tensor(deviations)[:, None, None]
        turns = torch.stack([torch.rand(size, generator=generator) for generator in generators])
        self.phases = nn.Parameter(2 * math.pi * turns)
        self.mix = drawn(generators, *size, shape.dimensions, scale=1 / math.sqrt(shape.frequencies))
        self.bias = zeros(generators, shape.n_embedded, 1, shape.dimensions)

    def forward(self, numbers: Tensor, models: Models) -> Tensor:
        """Rows come last until the end, which is a third faster."""
        columns = numbers.transpose(1, 2).contiguous()[:, :, None]  # (M, n_numbers, 1, B)
        frequencies = (2 * math.pi * chosen(self.frequencies, models))[..., None]
        waves = torch.addcmul(chosen(self.phases, models)[..., None], columns, frequencies).cos()
        mix, bias = chosen(self.mix, models).flatten(0, 1), chosen(self.bias, models).flatten(0, 1)
        mixed = torch.baddbmm(bias.transpose(1, 2), mix.transpose(1, 2), waves.flatten(0, 1))
        return mixed.view(len(waves), -1, waves.shape[3]).transpose(1, 2)


class BatchedNetwork(nn.Module):
    """M multilayer perceptrons with GELU units (Hendrycks and Gimpel 2016), side by side. Model m sees only its own
    rows and weights, and its initial weights depend on seeds[m] and wave_deviations[m] alone.

    Into the first layer go, side by side: the inputs, each by a learned scale; of the first n_embedded a periodic
    embedding. To its sums those of the bags' vectors are added.

    Shape: Batch of (M, B, n_inputs) -> logits (M, B, n_outputs).

    wave_deviations: see PeriodicEmbedding; None where no number is embedded.
    """

    def __init__(self, shape: Shape, seeds: Sequence[int], wave_deviations: Sequence[float] | None = None):
        super().__init__()
        self.shape, self.n_models = shape, len(seeds)
        generators = [Generator().manual_seed(seed) for seed in seeds]
        widths = [shape.n_joined] + [shape.units] * shape.layers + [shape.n_outputs]
        self.layers = nn.ModuleList(BatchedLinear(generators, n_in, n_out) for n_in, n_out in pairwise(widths))
        self.scale = LearnedScale(len(seeds), shape.n_inputs) if shape.n_inputs else None
        self.embedding: PeriodicEmbedding | None = None
        if shape.n_embedded:
            assert wave_deviations is not None
            self.embedding = PeriodicEmbedding(generators, shape, wave_deviations)
        self.bag_sum = BagSum(generators, shape.n_positions, shape.units) if shape.n_positions else None

    def forward(self, batch: Batch, models: Models = None, dropout: Dropout | None = None) -> Tensor:
        parts = [batch.X if self.scale is None else self.scale(batch.X, models)]
        if self.embedding is not None:
            parts.append(self.embedding(batch.X[:, :, : self.shape.n_embedded], models))
        x = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            x = layer(x, models)
            if i == 0 and self.bag_sum is not None and batch.bags is not None:
                x = x + self.bag_sum(batch.bags, x.shape[1], models)
            if i < last:
                x = gelu(x) if dropout is None else dropout(gelu(x))
        return x

    def decayed(self) -> list[nn.Parameter]:
        """What weight decay is for: the matrices."""
        return [layer.weight for layer in self._linear()] + ([self.embedding.mix] if self.embedding else [])

    def undecayed(self) -> list[nn.Parameter]:
        found = [layer.bias for layer in self._linear()]
        if self.embedding is not None:
            found += [self.embedding.frequencies, self.embedding.phases, self.embedding.bias]
        return found

    def scales(self) -> list[nn.Parameter]:
        return [] if self.scale is None else [self.scale.factors]

    def vectors(self) -> list[nn.Parameter]:
        return [] if self.bag_sum is None else [self.bag_sum.vectors]

    def _linear(self) -> list[BatchedLinear]:
        return [layer for layer in self.layers if isinstance(layer, BatchedLinear)]

    @torch.no_grad()
    def keep(self, models: Tensor) -> None:
        """Goes on with the models of these indices alone."""
        for parameter in self.parameters():
            parameter.data, parameter.grad = of_models(parameter.data, self.n_models, models), None
        self.n_models = len(models)

    def n_parameters_each(self) -> int:
        """All that one of the models has learned."""
        return sum(parameter.numel() for parameter in self.parameters()) // self.n_models

    def multiplications_each(self, n_codes: float = 0.0) -> float:
        """Multiply-adds of one model for one row, with so many codes in its bag."""
        return sum(matrix[0].numel() for matrix in self.decayed()) + n_codes * self.shape.units
