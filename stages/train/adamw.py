"""The optimizer of batched networks."""

import math
from typing import Any

import torch
from torch import Tensor

from stages.train.batched import BatchedNetwork, of_models

AT_ONCE = 1024  # vectors moved at once: what is made on the way stays in the cache

SCALE_RATE = 6.0  # times the learning rate: of the inputs' scales (Holzmueller, Grinsztajn and Steinwart 2024)
TINY = 1e-30  # under the root: MKL takes 18 times as long for the root of 0


class BatchedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) in which each model has its own learning rate and weight decay.

    torch.optim.AdamW takes one value for a whole tensor; here parameters are (M, ...) and both are (M,). A group's
    `lr` multiplies every model's rate, so that torch's schedulers apply. Only matrices decay; of the vectors of buckets
    only those that a step touched move, with the moments of their own steps ("lazy" Adam).
    """

    def __init__(self, network: BatchedNetwork, learning_rates: Tensor, weight_decays: Tensor, betas=(0.9, 0.999)):
        device = network.weights[0].device
        rates, decays = learning_rates.to(device), weight_decays.to(device)
        none = torch.zeros_like(decays)
        groups: list[dict[str, Any]] = [
            {"params": network.decayed(), "rates": rates, "decays": decays},
            {"params": network.undecayed(), "rates": rates, "decays": none},
            {"params": list(network.scales), "rates": SCALE_RATE * rates, "decays": none},
            {"params": list(network.vectors), "rates": rates, "decays": None},
        ]
        self.n_buckets = network.shape.n_buckets
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"lr": 1.0, "betas": betas, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            (beta1, beta2), eps = group["betas"], group["eps"]
            for parameter in group["params"]:
                rates = group["rates"] * group["lr"]
                state = self.state[parameter]
                if not state:
                    state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
                state["step"] += 1
                gradient, mean, square = parameter.grad, state["mean"], state["square"]
                if gradient.is_sparse:
                    self._step_touched(parameter, gradient, state, rates, (beta1, beta2), eps)
                    continue
                of_model = (-1, *[1] * (parameter.ndim - 1))
                mean.lerp_(gradient, 1 - beta1)
                square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                spread = square.add(TINY).sqrt_().mul_(1 / math.sqrt(1 - beta2 ** state["step"])).add_(eps)
                spread.mul_(((beta1 ** state["step"] - 1) / rates).view(of_model))  # infinite where a rate is 0
                parameter.mul_((1 - rates * group["decays"]).view(of_model)).addcdiv_(mean, spread)
        return loss

    def keep(self, models: Tensor, n_models: int) -> None:
        """Goes on with the models of these indices, of n_models, alone; to be called beside the network's own."""
        for group in self.param_groups:
            group["rates"] = group["rates"][models]
            group["decays"] = None if group["decays"] is None else group["decays"][models]
            for parameter in group["params"]:
                state = self.state[parameter]
                for name in ("mean", "square"):
                    state[name] = of_models(state[name], n_models, models)

    def _step_touched(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], rates: Tensor,
                      betas: tuple[float, float], eps: float) -> None:  # fmt: skip
        rows_of_all, values_of_all = gradient._indices()[0], gradient._values()  # no row twice: BagSums made them
        for rows, values in zip(rows_of_all.split(AT_ONCE), values_of_all.split(AT_ONCE), strict=True):
            mean = state["mean"].index_select(0, rows).lerp_(values, 1 - betas[0])
            square = state["square"].index_select(0, rows).mul_(betas[1]).addcmul_(values, values, value=1 - betas[1])
            state["mean"].index_copy_(0, rows, mean)
            state["square"].index_copy_(0, rows, square)
            spread = square.add_(TINY).sqrt_().mul_(1 / math.sqrt(1 - betas[1] ** state["step"])).add_(eps)
            rate = rates[rows // self.n_buckets, None] / (1 - betas[0] ** state["step"])
            parameter.index_add_(0, rows, mean.div_(spread).mul_(-rate))
