"""The optimizer of batched networks."""

import math
from typing import Any

import torch
from torch import Tensor

from stages.train.network.layers import BatchedNetwork
from stages.train.network.models import of_models

AT_ONCE = 1024  # vectors moved at once: what is made on the way stays in the cache

SCALE_RATE = 6.0  # times the learning rate: of the inputs' scales (Holzmueller, Grinsztajn and Steinwart 2024)
TINY = 1e-30  # under the root: MKL takes 18 times as long for the root of 0


class BatchedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) in which each model has its own learning rate and weight decay.

    torch.optim.AdamW takes one value for a whole tensor; here parameters are (M, ...) and both are (M,). A group's
    `lr` multiplies every model's rate. Only matrices decay; of the vectors of bags
    only those that a step touched move, with the moments of their own steps ("lazy" Adam).
    """

    def __init__(self, network: BatchedNetwork, learning_rates: Tensor, weight_decays: Tensor, betas=(0.9, 0.999)):
        device = network.decayed()[0].device
        rates, decays = learning_rates.to(device), weight_decays.to(device)
        decayed, undecayed, scales = network.decayed(), network.undecayed(), network.scales()
        groups: list[dict[str, Any]] = [
            {
                "params": decayed + undecayed + scales,
                "rates": rates,
                "factors": [1.0] * len(decayed + undecayed) + [SCALE_RATE] * len(scales),
                "decays": decays,
                "n_decayed": len(decayed),  # the first so many parameters
            },
            {"params": network.vectors(), "rates": rates, "decays": None},
        ]
        self.n_positions = network.shape.n_positions
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"lr": 1.0, "betas": betas, "eps": 1e-8})

    def set_rate_factor(self, factor: float) -> None:
        """What every model's learning rate is multiplied by from now on."""
        for group in self.param_groups:
            group["lr"] = factor

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if not self.state[parameter]:
                    zeros = torch.zeros_like(parameter)
                    self.state[parameter] |= {"step": 0, "mean": zeros, "square": zeros.clone()}
                self.state[parameter]["step"] += 1
            if group["params"][0].grad.is_sparse:
                for parameter in group["params"]:
                    self._step_touched(parameter, group)
            else:
                self._step_all(group)
        return loss

    def _step_all(self, group: dict[str, Any]) -> None:
        """All parameters of a group at once: calls from Python would take longer than what small networks compute."""
        parameters, rates = group["params"], group["rates"] * group["lr"]
        states = [self.state[parameter] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters]
        means, squares = [state["mean"] for state in states], [state["square"] for state in states]
        (beta1, beta2), step = group["betas"], states[0]["step"]

        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        spreads = torch._foreach_add(squares, TINY)
        torch._foreach_sqrt_(spreads)
        torch._foreach_mul_(spreads, 1 / math.sqrt(1 - beta2**step))
        torch._foreach_add_(spreads, group["eps"])
        of_factors = {factor: (beta1**step - 1) / (factor * rates) for factor in group["factors"]}  # infinite at rate 0
        torch._foreach_mul_(spreads, _shaped([of_factors[factor] for factor in group["factors"]], parameters))
        if group["decays"].any():
            matrices = parameters[: group["n_decayed"]]
            torch._foreach_mul_(matrices, _shaped([1 - rates * group["decays"]] * len(matrices), matrices))
        torch._foreach_addcdiv_(parameters, means, spreads)

    def keep(self, models: Tensor, n_models: int) -> None:
        """Goes on with the models of these indices, of n_models, alone; to be called beside the network's own."""
        for group in self.param_groups:
            group["rates"] = group["rates"][models]
            group["decays"] = None if group["decays"] is None else group["decays"][models]
            for parameter in group["params"]:
                state = self.state[parameter]
                for name in ("mean", "square"):
                    state[name] = of_models(state[name], n_models, models)

    def _step_touched(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state, rates = parameter.grad, self.state[parameter], group["rates"] * group["lr"]
        assert gradient is not None
        (beta1, beta2), step = group["betas"], state["step"]
        rows_of_all, values_of_all = gradient._indices()[0], gradient._values()  # no row twice: BagSum made them
        for rows, values in zip(rows_of_all.split(AT_ONCE), values_of_all.split(AT_ONCE), strict=True):
            mean = state["mean"].index_select(0, rows).lerp_(values, 1 - beta1)
            square = state["square"].index_select(0, rows).mul_(beta2).addcmul_(values, values, value=1 - beta2)
            state["mean"].index_copy_(0, rows, mean)
            state["square"].index_copy_(0, rows, square)
            spread = square.add_(TINY).sqrt_().mul_(1 / math.sqrt(1 - beta2**step)).add_(group["eps"])
            rate = rates[rows // self.n_positions, None] / (1 - beta1**step)
            parameter.index_add_(0, rows, mean.div_(spread).mul_(-rate))


def _shaped(of_models: list[Tensor], parameters: list[Tensor]) -> list[Tensor]:
    """(M,) each, with as many axes as each parameter."""
    return [values.view(-1, *[1] * (p.ndim - 1)) for values, p in zip(of_models, parameters, strict=True)]
