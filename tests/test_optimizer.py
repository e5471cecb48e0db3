"""The optimizer of batched networks against torch's."""

import pytest
import torch
from torch import nn

from stages.train.network.layers import Batch, BatchedNetwork, Shape
from stages.train.network.models import of_models
from stages.train.network.optimizer import SCALE_RATE, BatchedAdamW
from tests.networks import N_POSITIONS, bags, linear, on_ngrams, one_by_one

pytestmark = pytest.mark.usefixtures("one_thread")


class Scales(nn.Module):
    def __init__(self, n_inputs: int):
        super().__init__()
        self.scales = nn.Parameter(torch.ones(n_inputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scales


def test_training_steps_are_those_of_torch_adamw_with_each_models_own_rates():
    rates, decays = [0.01, 0.003], [0.1, 0.5]
    network = BatchedNetwork(Shape(4, 6, 2, 3), seeds=[1, 2])
    singles = [nn.Sequential(Scales(4), *one_by_one(network, m)) for m in range(2)]
    batched = BatchedAdamW(network, torch.tensor(rates), torch.tensor(decays))
    schedule = torch.optim.lr_scheduler.LambdaLR(batched, lambda step: 1 / (1 + step))
    oracles, oracle_schedules = [], []
    for single, rate, decay in zip(singles, rates, decays, strict=True):
        weights = [p for p in single.parameters() if p.ndim == 2]
        scales, *biases = [p for p in single.parameters() if p.ndim == 1]
        oracle = torch.optim.AdamW(
            [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0},
             {"params": [scales], "weight_decay": 0, "lr": SCALE_RATE * rate}], rate
        )  # fmt: skip
        oracles.append(oracle)
        oracle_schedules.append(torch.optim.lr_scheduler.LambdaLR(oracle, lambda step: 1 / (1 + step)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x = torch.randn(2, 16, 4, generator=generator)
        y = torch.randint(3, (2, 16), generator=generator)
        batched.zero_grad()
        losses = nn.functional.cross_entropy(network(Batch(x)).flatten(0, 1), y.flatten(), reduction="none")
        losses.view(2, 16).mean(1).sum().backward()
        batched.step()
        schedule.step()
        for m, (single, oracle, oracle_schedule) in enumerate(zip(singles, oracles, oracle_schedules, strict=True)):
            oracle.zero_grad()
            nn.functional.cross_entropy(single(x[m]), y[m]).backward()
            oracle.step()
            oracle_schedule.step()
    for m, single in enumerate(singles):
        torch.testing.assert_close(network.scales()[0][m, 0], single[0].scales, rtol=1e-4, atol=1e-6)
        linears = [layer for layer in single if isinstance(layer, nn.Linear)]
        for ours, theirs in zip(linear(network), linears, strict=True):
            torch.testing.assert_close(ours.weight[m].T, theirs.weight, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(ours.bias[m, 0], theirs.bias, rtol=1e-4, atol=1e-6)


def test_models_that_leave_harm_no_other():
    """After `keep` the steps of those that stay are those that they would have taken among all."""
    rates, decays = torch.tensor([0.01, 0.03, 0.02]), torch.tensor([0.1, 0.2, 0.3])
    shape = Shape(4, 6, 2, 3, n_embedded=2, frequencies=3, dimensions=2, n_positions=N_POSITIONS)
    networks = [BatchedNetwork(shape, [1, 2, 3], [0.1, 0.5, 1.0]) for _ in range(2)]
    optimizers = [BatchedAdamW(network, rates, decays) for network in networks]
    generator = torch.Generator().manual_seed(0)
    stay = torch.tensor([0, 2])
    for step in range(6):
        if step == 3:
            optimizers[1].keep(stay, networks[1].n_models)
            networks[1].keep(stay)
        x = torch.randn(3, 4, 4, generator=generator)
        for i, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
            chosen = stay if i and step >= 3 else torch.arange(3)
            optimizer.zero_grad()
            batch = Batch(x[chosen], bags("ab", "abc", "hut", "zug", n_models=len(chosen)))
            network(batch).square().sum().backward()
            optimizer.step()
    for all_three, left in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(of_models(all_three.data, 3, stay), left.data, rtol=1e-5, atol=1e-7)


def test_vectors_of_buckets_take_the_steps_of_torch_sparse_adam():
    network, oracle = (on_ngrams(3, units=4, layers=1, n_inputs=1) for _ in range(2))
    ours = BatchedAdamW(network, torch.tensor([0.01]), torch.tensor([0.5]))
    theirs = torch.optim.SparseAdam(oracle.vectors(), lr=0.01)
    frozen = [net.decayed() + net.undecayed() + net.scales() for net in (network, oracle)]
    for parts in (("ab", "abc"), ("hut", "zug"), ("ab", "zug")):
        for net, optimizer in ((network, ours), (oracle, theirs)):
            optimizer.zero_grad()
            net(Batch(torch.zeros(1, 2, 1), bags(*parts))).square().sum().mul(1000).backward()  # eps differs
            optimizer.step()
        with torch.no_grad():  # the rest moves in ours alone: keep it equal
            for mine, other in zip(*frozen, strict=True):
                mine.copy_(other)
    torch.testing.assert_close(network.vectors()[0], oracle.vectors()[0], rtol=1e-4, atol=1e-6)
