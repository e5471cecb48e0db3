"""Many networks of one shape as one: weights carry a leading axis of models, and so does every activation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

BUCKET_SCALE = 0.1  # deviation of a bucket's vector at the start


class BatchedMLP(nn.Module):
    """M multilayer perceptrons with ReLU units, side by side.

    Shape: input (M, B, n_inputs), output (M, B, n_outputs): logits. Model m sees only its own rows and weights, and
    its initial weights depend on seeds[m] alone. With n_buckets, a row may also hold a bag of hashed n-grams, whose
    vectors (Bojanowski et al. 2017) are summed, scaled by one over the root of their number, into the first layer; the
    gradient of these vectors is sparse.
    """

    def __init__(
        self, n_inputs: int, units: int, layers: int, n_outputs: int, seeds: Sequence[int], n_buckets: int = 0
    ):
        super().__init__()
        self.n_models, self.n_buckets = len(seeds), n_buckets
        widths = [n_inputs] + [units] * layers + [n_outputs]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for n_in, n_out in pairwise(widths):
            scale = math.sqrt(2 / max(1, n_in))  # He et al. 2015: keeps the variance through ReLU
            drawn = [torch.randn(n_in, n_out, generator=generator) * scale for generator in generators]
            self.weights.append(nn.Parameter(torch.stack(drawn)))  # (M, n_in, n_out)
            self.biases.append(nn.Parameter(torch.zeros(len(seeds), 1, n_out)))  # (M, 1, n_out)
        self.vectors = nn.ParameterList()  # of the buckets: none, or (M * n_buckets, units)
        if n_buckets:
            drawn = [torch.randn(n_buckets, units, generator=generator) * BUCKET_SCALE for generator in generators]
            self.vectors.append(nn.Parameter(torch.cat(drawn)))

    def forward(self, x: Tensor, bags: "Bags | None" = None, models: Sequence[int] | None = None) -> Tensor:
        """Logits of all models, or of those with the given indices, (n_models, B, n_outputs)."""
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if models is not None:
                weight, bias = weight[models], bias[models]
            x = torch.baddbmm(bias, x, weight)
            if i == 0 and bags is not None:
                x = x + self._summed(bags, x.shape[:2], models)
            x = torch.relu(x) if i < last else x
        return x

    def _summed(self, bags: "Bags", shape: torch.Size, models: Sequence[int] | None) -> Tensor:
        """The scaled sum of each row's vectors: (n_models, B, units)."""
        offsets = bags.n_each.cumsum(0) - bags.n_each
        of_model = torch.arange(self.n_models, device=bags.codes.device)
        of_model = of_model if models is None else of_model[models]
        first = torch.repeat_interleave(of_model * self.n_buckets, shape[1])  # of each row
        codes = bags.codes + torch.repeat_interleave(first, bags.n_each)
        total = embedding_bag(codes, self.vectors[0], offsets, mode="sum", sparse=True)
        return (total * bags.n_each[:, None].clamp(min=1).rsqrt()).view(*shape, -1)

    def forget(self, model: int, buckets: Tensor) -> None:
        """Zero for the vectors of these buckets: those of no fitted row stay so, and say nothing in prediction."""
        with torch.no_grad():
            self.vectors[0][model * self.n_buckets + buckets] = 0

    def n_parameters_each(self) -> int:
        """Weights, biases and vectors of one of the models."""
        return sum(parameter.numel() for parameter in self.parameters()) // self.n_models

    def multiplications_each(self) -> int:
        """Multiply-adds of one model for one row."""
        return sum(weight[0].numel() for weight in self.weights)


@dataclass(frozen=True)
class Bags:
    """The n-grams of a batch's rows, one row after the other, model by model.

    codes: (n_ngrams,) bucket of each; n_each: (M * B,) how many a row has.
    """

    codes: Tensor
    n_each: Tensor


class BatchedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) in which each model has its own learning rate and weight decay.

    torch.optim.AdamW takes one value for a whole tensor; here parameters are (M, ...) and both are (M,). A group's
    `lr` multiplies every model's rate, so that torch's schedulers apply. Biases and the vectors of buckets do not
    decay; of these vectors only those that a step touched move, with the moments of their own steps ("lazy" Adam).
    """

    def __init__(self, network: BatchedMLP, learning_rates: Tensor, weight_decays: Tensor, betas=(0.9, 0.999)):
        device = network.weights[0].device
        rates, decays = learning_rates.view(-1, 1, 1).to(device), weight_decays.view(-1, 1, 1).to(device)
        groups: list[dict[str, Any]] = [
            {"params": list(network.weights), "rates": rates, "decays": decays},
            {"params": list(network.biases), "rates": rates, "decays": torch.zeros_like(rates)},
        ]
        if len(network.vectors):
            groups.append({"params": list(network.vectors), "rates": rates.view(-1), "decays": None})
        self.n_buckets = network.n_buckets
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
                    self._step_touched(parameter, gradient.coalesce(), state, rates, (beta1, beta2), eps)
                    continue
                mean.lerp_(gradient, 1 - beta1)
                square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                spread = square.sqrt().mul_(1 / math.sqrt(1 - beta2 ** state["step"])).add_(eps)
                parameter.mul_(1 - rates * group["decays"])
                parameter.sub_(mean.div(spread).mul_(rates / (1 - beta1 ** state["step"])))
        return loss

    def _step_touched(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], rates: Tensor,
                      betas: tuple[float, float], eps: float) -> None:  # fmt: skip
        rows, values = gradient.indices()[0], gradient.values()
        mean = state["mean"][rows].lerp_(values, 1 - betas[0])
        square = state["square"][rows].mul_(betas[1]).addcmul_(values, values, value=1 - betas[1])
        state["mean"][rows], state["square"][rows] = mean, square
        spread = square.sqrt_().mul_(1 / math.sqrt(1 - betas[1] ** state["step"])).add_(eps)
        rate = rates[rows // self.n_buckets, None] / (1 - betas[0] ** state["step"])
        parameter.index_add_(0, rows, mean.div_(spread).mul_(-rate))
