"""The weights that are used: averages over the last steps."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from stages.train.network.layers import BatchedNetwork
from stages.train.network.models import of_models

AVERAGED = 9  # the average reaches back over the last one in so many steps


class Averages:
    """The running average of a network's weights over the last ninth of the steps (polynomial decay, Shamir and Zhang
    2013).

    It stands where the noise of single steps is gone, as if the rate had already fallen. Vectors of bags move in few
    steps each, and to average the whole table after each step would take longer than the step: such networks are used
    as they are.
    """

    def __init__(self, network: BatchedNetwork):
        self.network, self.n_steps = network, 0
        self.parameters: list[Tensor] = list(network.parameters())
        self.are_the_weights = len(network.vectors()) > 0
        self.means = self.parameters if self.are_the_weights else [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """To be called after each step."""
        if not self.are_the_weights:
            torch._foreach_lerp_(self.means, self.parameters, AVERAGED / (AVERAGED + self.n_steps))
            self.n_steps += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it they are the network's weights."""
        steps = [parameter.data for parameter in self.parameters]
        for parameter, mean in zip(self.parameters, self.means, strict=True):
            parameter.data = mean.data
        yield
        for parameter, of_step in zip(self.parameters, steps, strict=True):
            parameter.data = of_step

    def to(self, device: torch.device) -> None:
        """Follows the network there."""
        if not self.are_the_weights:
            self.means = [mean.to(device) for mean in self.means]

    def keep(self, models: Tensor, n_models: int) -> None:
        """Goes on with the models of these indices, of n_models, alone; to be called beside the network's own."""
        if not self.are_the_weights:
            self.means = [of_models(mean, n_models, models) for mean in self.means]
