"""Networks of a few units, their bags, and each of them as torch's own layers."""

import torch
from torch import nn

from stages.common.features import Features
from stages.prepare.sources.words import letters_of
from stages.train.inputs.words import BITS, Ngrams
from stages.train.network.bags import BatchOfBags
from stages.train.network.layers import BatchedLinear, BatchedNetwork, Shape

N_POSITIONS = 1 << BITS  # of bags of n-grams


def linear(network: BatchedNetwork) -> list[BatchedLinear]:
    return [layer for layer in network.layers if isinstance(layer, BatchedLinear)]


def one_by_one(network: BatchedNetwork, m: int) -> nn.Sequential:
    """Model m as torch's own layers with the same weights, on inputs that are joined already."""
    layers: list[nn.Module] = []
    for batched in linear(network):
        weight, bias = batched.weight[m].detach(), batched.bias[m, 0].detach()
        single = nn.Linear(*weight.shape)
        single.weight.data, single.bias.data = weight.T.clone(), bias.clone()
        layers += [single, nn.GELU()]
    return nn.Sequential(*layers[:-1])


def on_ngrams(*seeds: int, units: int = 6, layers: int = 2, n_inputs: int = 2) -> BatchedNetwork:
    return BatchedNetwork(Shape(n_inputs, units, layers, 3, n_positions=N_POSITIONS), seeds)


def spelt(*words: str) -> Features:
    return Features("words", {"letters": letters_of(list(words))})


def bags(*words: str, n_models: int = 1) -> BatchOfBags:
    """The n-grams of the same words for each model, with a vector for every bucket."""
    found = Ngrams().encode(spelt(*words)).bags
    assert found is not None
    codes, n_each = torch.from_numpy(found.codes).long(), torch.from_numpy(found.n_each)
    return BatchOfBags(codes.repeat(n_models), n_each.repeat(n_models))
