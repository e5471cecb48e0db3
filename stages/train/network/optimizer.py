"""The optimizer of batched networks."""

import math

import torch
from torch import Tensor

from stages.train.network.layers import BatchedNetwork
from stages.train.network.models import of_models

AT_ONCE = 1024  # vectors moved at once: what is made on the way stays in the cache

SCALE_RATE = 6.0  # times the learning rate: of the inputs' scales (Holzmueller, Grinsztajn and Steinwart 2024)
TINY = 1e-30  # under the root: MKL takes 18 times as long for the root of 0
EPS = 1e-8


class BatchedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) in which each model has its own learning rate and weight decay.

    torch's own takes one value of either for a whole tensor; here parameters are (M, ...) and both are (M,). So its
    fused kernel moves a buffer that starts at minus the decayed weights, at rate 1, and the weights move along that, at
    each model's rate: three calls for all parameters. Only matrices decay; of the vectors of bags only those that a
    step touched move, with the moments of their own steps ("lazy" Adam).
    """

    def __init__(self, network: BatchedNetwork, learning_rates: Tensor, weight_decays: Tensor, betas=(0.9, 0.999)):
        device = network.decayed()[0].device
        self.rates, self.decays = learning_rates.to(device), weight_decays.to(device)
        self.decayed, self.scales, self.vectors = network.decayed(), network.scales(), network.vectors()
        self.dense = [*self.decayed, *network.undecayed(), *self.scales]  # with gradients of all their values
        self.n_positions = network.shape.n_positions
        self.betas = betas
        self.n_steps, self.count = 0, torch.zeros((), device=device)  # the same, as the kernel takes it
        super().__init__([{"params": self.dense + self.vectors}], {"lr": 1.0})
        for parameter in self.dense + self.vectors:
            self.state[parameter] = {name: torch.zeros_like(parameter) for name in ("mean", "square")}
        self.moves = [torch.empty_like(parameter) for parameter in self.dense]

    def set_rate_factor(self, factor: float) -> None:
        """What every model's learning rate is multiplied by from now on."""
        self.param_groups[0]["lr"] = factor

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.n_steps += 1
        self.count.fill_(self.n_steps)
        rates = self.rates * self.param_groups[0]["lr"]
        self._step_dense(rates)
        for parameter in self.vectors:
            self._step_touched(parameter, rates)
        return loss

    def _step_dense(self, rates: Tensor) -> None:
        n_decayed = len(self.decayed)
        for parameter, move in zip(self.decayed, self.moves, strict=False):
            torch.mul(parameter, _shaped(-self.decays, parameter), out=move)
        torch._foreach_zero_(self.moves[n_decayed:])
        gradients = [parameter.grad for parameter in self.dense if parameter.grad is not None]
        torch._fused_adamw_(
            self.moves, gradients, *self._moments(), [], [self.count] * len(gradients), lr=1.0, beta1=self.betas[0],
            beta2=self.betas[1], weight_decay=0.0, eps=EPS, amsgrad=False, maximize=False,
        )  # fmt: skip
        n_scales = len(self.scales)
        for i, (parameter, move) in enumerate(zip(self.dense, self.moves, strict=True)):
            factor = SCALE_RATE if i >= len(self.dense) - n_scales else 1.0
            parameter.addcmul_(move, _shaped(rates, parameter), value=factor)

    def _moments(self) -> tuple[list[Tensor], list[Tensor]]:
        states = [self.state[parameter] for parameter in self.dense]
        return [state["mean"] for state in states], [state["square"] for state in states]

    def keep(self, models: Tensor, n_models: int) -> None:
        """Goes on with the models of these indices, of n_models, alone; to be called beside the network's own."""
        self.rates, self.decays = self.rates[models], self.decays[models]
        for parameter in self.dense + self.vectors:
            state = self.state[parameter]
            for name in ("mean", "square"):
                state[name] = of_models(state[name], n_models, models)
        self.moves = [of_models(move, n_models, models) for move in self.moves]

    def _step_touched(self, parameter: Tensor, rates: Tensor) -> None:
        gradient, state, step = parameter.grad, self.state[parameter], self.n_steps
        assert gradient is not None
        beta1, beta2 = self.betas
        rows_of_all, values_of_all = gradient._indices()[0], gradient._values()  # no row twice: BagSum made them
        for rows, values in zip(rows_of_all.split(AT_ONCE), values_of_all.split(AT_ONCE), strict=True):
            mean = state["mean"].index_select(0, rows).lerp_(values, 1 - beta1)
            square = state["square"].index_select(0, rows).mul_(beta2).addcmul_(values, values, value=1 - beta2)
            state["mean"].index_copy_(0, rows, mean)
            state["square"].index_copy_(0, rows, square)
            spread = square.add_(TINY).sqrt_().mul_(1 / math.sqrt(1 - beta2**step)).add_(EPS)
            rate = rates[rows // self.n_positions, None] / (1 - beta1**step)
            parameter.index_add_(0, rows, mean.div_(spread).mul_(-rate))


def _shaped(of_models: Tensor, parameter: Tensor) -> Tensor:
    """(M,), with as many axes as the parameter."""
    return of_models.view(-1, *[1] * (parameter.ndim - 1))
