"""The same networks one by one, as one would write them with torch's own layers and Lightning."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stages.train.network.layers import Shape


class Waves(nn.Module):
    """Cosines of learned frequencies of each number, mixed linearly.

    Shape: (B, n_numbers) -> (B, n_numbers * dimensions).
    """

    def __init__(self, shape: Shape, deviation: float):
        super().__init__()
        size = (shape.n_embedded, shape.frequencies)
        self.frequencies = nn.Parameter(torch.randn(size) * deviation)
        self.phases = nn.Parameter(2 * math.pi * torch.rand(size))
        self.mix = nn.Parameter(torch.randn(*size, shape.dimensions) / math.sqrt(shape.frequencies))
        self.bias = nn.Parameter(torch.zeros(shape.n_embedded, shape.dimensions))

    def forward(self, numbers: Tensor) -> Tensor:
        waves = torch.cos(2 * math.pi * self.frequencies * numbers[..., None] + self.phases)
        return (torch.einsum("bnf,nfd->bnd", waves, self.mix) + self.bias).flatten(1)


class Single(nn.Module):
    """One network. Shape: (B, n_inputs) -> (B, n_outputs)."""

    def __init__(self, shape: Shape, deviation: float, dropout: float):
        super().__init__()
        self.n_embedded = shape.n_embedded
        self.waves = Waves(shape, deviation) if shape.n_embedded else None
        self.scale = nn.Parameter(torch.ones(shape.n_inputs))
        widths = [shape.n_joined] + [shape.units] * shape.layers
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.GELU(), nn.Dropout(dropout)]
            nn.init.normal_(layers[-3].weight, std=math.sqrt(2 / n_in))  # type: ignore[arg-type]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], shape.n_outputs))

    def forward(self, X: Tensor) -> Tensor:
        parts = [X * self.scale]
        if self.waves is not None:
            parts.append(self.waves(X[:, : self.n_embedded]))
        return self.layers(torch.cat(parts, dim=1))


class Lightning(pl.LightningModule):
    """Cosine schedule after a warm-up, AdamW."""

    def __init__(self, network: Single, learning_rate: float, weight_decay: float, n_steps: int, warmup: int):
        super().__init__()
        self.network, self.rate, self.decay = network, learning_rate, weight_decay
        self.n_steps, self.warmup = n_steps, warmup

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        X, y = batch
        return nn.functional.cross_entropy(self.network(X), y)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, self.n_steps, self.warmup))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def factor(step: int, n_steps: int, warmup: int) -> float:
    """What the learning rate is multiplied by."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, n_steps - warmup))))


@dataclass
class MiniBatches:
    """Batches cut from tensors in memory, in a new order in every epoch."""

    X: Tensor
    y: Tensor
    batch_size: int

    def __len__(self) -> int:
        return math.ceil(len(self.X) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(self.X)).split(self.batch_size):
            yield self.X[rows], self.y[rows]
