"""Many networks of one shape as one: weights carry a leading axis of models, and so does every activation."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


class BatchedMLP(nn.Module):
    """M multilayer perceptrons with ReLU units, side by side.

    Shape: input (M, B, n_inputs), output (M, B, n_outputs): logits. Model m sees only its own rows and weights, and
    its initial weights depend on seeds[m] alone.
    """

    def __init__(self, n_inputs: int, units: int, layers: int, n_outputs: int, seeds: Sequence[int]):
        super().__init__()
        widths = [n_inputs] + [units] * layers + [n_outputs]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for n_in, n_out in pairwise(widths):
            scale = math.sqrt(2 / n_in)  # He et al. 2015: keeps the variance through ReLU
            drawn = [torch.randn(n_in, n_out, generator=generator) * scale for generator in generators]
            self.weights.append(nn.Parameter(torch.stack(drawn)))  # (M, n_in, n_out)
            self.biases.append(nn.Parameter(torch.zeros(len(seeds), 1, n_out)))  # (M, 1, n_out)

    def forward(self, x: Tensor, models: Sequence[int] | None = None) -> Tensor:
        """Logits of all models, or of those with the given indices, (n_models, B, n_outputs)."""
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if models is not None:
                weight, bias = weight[models], bias[models]
            x = torch.baddbmm(bias, x, weight)
            x = torch.relu(x) if i < last else x
        return x

    def n_parameters_each(self) -> int:
        """Weights and biases of one of the models."""
        return sum(parameter[0].numel() for parameter in self.parameters())

    def multiplications_each(self) -> int:
        """Multiply-adds of one model for one row."""
        return sum(weight[0].numel() for weight in self.weights)


class BatchedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) in which each model has its own learning rate and weight decay.

    torch.optim.AdamW takes one value for a whole tensor; here parameters are (M, ...) and both are (M,). A group's
    `lr` multiplies every model's rate, so that torch's schedulers apply. Biases do not decay.
    """

    def __init__(self, network: BatchedMLP, learning_rates: Tensor, weight_decays: Tensor, betas=(0.9, 0.999)):
        device = network.weights[0].device
        rates, decays = learning_rates.view(-1, 1, 1).to(device), weight_decays.view(-1, 1, 1).to(device)
        groups: list[dict[str, Any]] = [
            {"params": list(network.weights), "rates": rates, "decays": decays},
            {"params": list(network.biases), "rates": rates, "decays": torch.zeros_like(rates)},
        ]
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
                mean.lerp_(gradient, 1 - beta1)
                square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                spread = square.sqrt().mul_(1 / math.sqrt(1 - beta2 ** state["step"])).add_(eps)
                parameter.mul_(1 - rates * group["decays"])
                parameter.sub_(mean.div(spread).mul_(rates / (1 - beta1 ** state["step"])))
        return loss
