"""Parameters of many models, which lie one after the other along the first axis."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

Models = list[int] | None  # their indices; None: all


def chosen(parameter: Tensor, models: Models) -> Tensor:
    """Without an index where it is not needed: the gradient of one is a copy in a tensor of zeros."""
    return parameter if models is None else parameter[models]


def drawn(generators: Sequence[Generator], *size: int, scale: float) -> nn.Parameter:
    """(M, *size), of each model from its own generator."""
    return nn.Parameter(torch.stack([torch.randn(size, generator=generator) * scale for generator in generators]))


def zeros(generators: Sequence[Generator], *size: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(len(generators), *size))


def of_models(values: Tensor, n_models: int, models: Tensor) -> Tensor:
    """The part of some of the models: values hold what belongs to each of n_models one after the other."""
    n_each = len(values) // n_models
    return values.view(n_models, n_each, *values.shape[1:])[models].flatten(0, 1)
