"""Many networks of one shape as one: weights carry a leading axis of models, and so does every activation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import embedding_bag, gelu

BUCKET_SCALE = 0.1  # deviation of a bucket's vector at the start


@dataclass(frozen=True)
class Shape:
    """Of one network. Inputs are any of: numbers, of which the first are embedded too; a bag of n-grams."""

    n_inputs: int
    units: int
    layers: int
    n_outputs: int
    n_embedded: int = 0  # the first so many inputs, each with ...
    frequencies: int = 0  # ... so many waves, ...
    dimensions: int = 0  # ... and so many numbers made of them
    n_buckets: int = 0

    @property
    def n_joined(self) -> int:
        """Inputs of the first layer."""
        return self.n_inputs + self.n_embedded * self.dimensions


@dataclass(frozen=True)
class Bags:
    """The n-grams of a batch's rows, one row after the other, model by model.

    codes: (n_ngrams,) bucket of each; n_each: (M * B,) how many a row has.
    """

    codes: Tensor
    n_each: Tensor


@dataclass(frozen=True)
class Dropout:
    """What share of its hidden units each model drops in a step (Srivastava et al. 2014), drawn from its own generator.

    shares: (M,), below 1, in steps of 1/256: a byte for each unit, eight from each number drawn, which is where the
    time would go.
    """

    shares: Tensor
    generators: Sequence[Generator]

    def __call__(self, x: Tensor) -> Tensor:
        """(M, B, units), what is left scaled up so that its mean stays."""
        n_each = x[0].numel()
        n_dropped = (256 * self.shares).round().clamp(max=255)[:, None, None]  # of 256
        drawn = torch.empty(len(x), -(-n_each // 8), dtype=torch.int64, device=x.device)
        for numbers, generator in zip(drawn, self.generators, strict=True):
            numbers.random_(-(2**63), None, generator=generator)
        kept = drawn.view(torch.uint8)[:, :n_each].view(x.shape) >= n_dropped.to(torch.uint8)
        return x * (kept * (256 / (256 - n_dropped)))


@dataclass(frozen=True)
class Inputs:
    """Rows of a batch. X: (M, B, n_inputs)."""

    X: Tensor
    bags: Bags | None = None


class BagSums(torch.autograd.Function):
    """The sum of each bag's vectors, as embedding_bag(mode="sum") gives it, whose gradient has one row a bucket.

    torch's own gradient has a row for every n-gram of the batch and is sorted and added up by the optimizer, which
    takes most of a step; here each bucket's occurrences are found first and added up as a bag of the rows they are in.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, codes: Tensor, n_each: Tensor) -> Tensor:
        ctx.save_for_backward(codes, n_each)
        ctx.shape = table.shape
        return embedding_bag(codes, table, n_each.cumsum(0) - n_each, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        codes, n_each = ctx.saved_tensors
        ordered, order = torch.sort(codes, stable=True)
        rows = torch.repeat_interleave(torch.arange(len(n_each), device=codes.device), n_each)[order]
        buckets, n_times = torch.unique_consecutive(ordered, return_counts=True)
        sums = embedding_bag(rows, gradients[0].contiguous(), n_times.cumsum(0) - n_times, mode="sum")
        return torch.sparse_coo_tensor(buckets[None], sums, ctx.shape, check_invariants=False), None, None


def of_models(values: Tensor, n_models: int, models: Tensor) -> Tensor:
    """The part of some of the models: values hold what belongs to each of n_models one after the other."""
    n_each = len(values) // n_models
    return values.view(n_models, n_each, *values.shape[1:])[models].flatten(0, 1)


class BatchedNetwork(nn.Module):
    """M multilayer perceptrons with GELU units (Hendrycks and Gimpel 2016), side by side. Model m sees only its own
    rows and weights, and its initial weights depend on seeds[m] and wave_deviations[m] alone.

    Into the first layer go, side by side: the inputs, each by a learned scale of its own; of the first n_embedded a
    periodic embedding (Gorishniy, Rubachev and Babenko 2022), cosines of learned frequencies and phases mixed linearly
    (Holzmueller, Grinsztajn and Steinwart 2024). To its sums the vectors of a row's n-grams are added (Bojanowski et
    al. 2017), scaled by one over the root of their number; the gradient of these vectors is sparse.

    wave_deviations: of the frequencies at the start, in cycles per deviation of the number; None where no number is
    embedded.
    """

    def __init__(self, shape: Shape, seeds: Sequence[int], wave_deviations: Sequence[float] | None = None):
        super().__init__()
        self.shape, self.n_models = shape, len(seeds)
        generators = [Generator().manual_seed(seed) for seed in seeds]

        def drawn(*size: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.stack([torch.randn(size, generator=g) * scale for g in generators]))

        def zeros(*size: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(len(seeds), *size))

        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for n_in, n_out in pairwise([shape.n_joined] + [shape.units] * shape.layers + [shape.n_outputs]):
            self.weights.append(drawn(n_in, n_out, scale=math.sqrt(2 / max(1, n_in))))  # He et al. 2015
            self.biases.append(zeros(1, n_out))
        self.scales = nn.ParameterList()
        if shape.n_inputs:
            self.scales.append(nn.Parameter(torch.ones(len(seeds), 1, shape.n_inputs)))
        self.waves, self.phases = nn.ParameterList(), nn.ParameterList()
        self.mixes, self.mix_biases = nn.ParameterList(), nn.ParameterList()
        if shape.n_embedded:
            assert wave_deviations is not None
            size = (shape.n_embedded, shape.frequencies)
            self.waves.append(drawn(*size, scale=1.0))
            self.waves[0].data *= torch.tensor(wave_deviations)[:, None, None]
            turns = torch.stack([torch.rand(size, generator=g) for g in generators])
            self.phases.append(nn.Parameter(2 * math.pi * turns))
            scale = 1 / math.sqrt(shape.frequencies)
            self.mixes.append(drawn(shape.n_embedded, shape.frequencies, shape.dimensions, scale=scale))
            self.mix_biases.append(zeros(shape.n_embedded, 1, shape.dimensions))
        self.vectors = nn.ParameterList()  # of the buckets: none, or (M * n_buckets, units)
        if shape.n_buckets:
            self.vectors.append(nn.Parameter(drawn(shape.n_buckets, shape.units, scale=BUCKET_SCALE).flatten(0, 1)))

    def decayed(self) -> list[nn.Parameter]:
        """What weight decay is for: the matrices."""
        return [*self.weights, *self.mixes]

    def undecayed(self) -> list[nn.Parameter]:
        return [*self.biases, *self.waves, *self.phases, *self.mix_biases]

    def forward(self, inputs: Inputs, models: Sequence[int] | None = None, dropout: Dropout | None = None) -> Tensor:
        """Logits of all models, or of those with the given indices: (n_models, B, n_outputs)."""
        chosen = slice(None) if models is None else list(models)
        parts = [inputs.X * self.scales[0][chosen] if self.shape.n_inputs else inputs.X]
        if self.shape.n_embedded:
            parts.append(self._embedded(inputs.X[:, :, : self.shape.n_embedded], chosen))
        x = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias[chosen], x, weight[chosen])
            if i == 0 and inputs.bags is not None:
                x = x + self._summed(inputs.bags, x.shape[:2], chosen)
            if i < last:
                x = gelu(x) if dropout is None else dropout(gelu(x))
        return x

    def _embedded(self, numbers: Tensor, chosen: slice | list[int]) -> Tensor:
        """(n_models, B, n_embedded) -> (n_models, B, n_embedded * dimensions); rows come last until the end, which is
        a third faster."""
        columns = numbers.transpose(1, 2).contiguous()[:, :, None]  # (n_models, n_embedded, 1, B)
        frequencies = (2 * math.pi * self.waves[0][chosen])[..., None]
        waves = torch.addcmul(self.phases[0][chosen][..., None], columns, frequencies).cos()
        mix, bias = self.mixes[0][chosen].flatten(0, 1), self.mix_biases[0][chosen].flatten(0, 1)
        mixed = torch.baddbmm(bias.transpose(1, 2), mix.transpose(1, 2), waves.flatten(0, 1))
        return mixed.view(len(waves), -1, waves.shape[3]).transpose(1, 2)

    def _summed(self, bags: Bags, shape: torch.Size, chosen: slice | list[int]) -> Tensor:
        """The scaled sum of each row's vectors: (n_models, B, units)."""
        of_model = torch.arange(self.n_models, device=bags.codes.device)[chosen]
        first = torch.repeat_interleave(of_model * self.shape.n_buckets, shape[1])  # of each row
        codes = bags.codes + torch.repeat_interleave(first, bags.n_each)
        total: Tensor = BagSums.apply(self.vectors[0], codes, bags.n_each)
        return (total * bags.n_each[:, None].clamp(min=1).rsqrt()).view(*shape, -1)

    @torch.no_grad()
    def keep(self, models: Tensor) -> None:
        """Goes on with the models of these indices alone."""
        for parameter in self.parameters():
            parameter.data, parameter.grad = of_models(parameter.data, self.n_models, models), None
        self.n_models = len(models)

    def n_parameters_each(self) -> int:
        """All that one of the models has learned."""
        return sum(parameter.numel() for parameter in self.parameters()) // self.n_models

    def multiplications_each(self, n_ngrams: float = 0.0) -> float:
        """Multiply-adds of one model for one row, of so many n-grams where they have vectors."""
        return sum(matrix[0].numel() for matrix in [*self.weights, *self.mixes]) + n_ngrams * self.shape.units
