"""The batched network against the same networks one by one."""

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu

from stages.train.network.layers import Batch, BatchedNetwork, Dropout, Shape
from tests.networks import bags, linear, on_ngrams, one_by_one

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_batched_forward_pass_is_that_of_each_network():
    network = BatchedNetwork(Shape(5, 7, 2, 3), seeds=[1, 2, 3])
    x = torch.randn(3, 11, 5)
    logits = network(Batch(x))
    assert logits.shape == (3, 11, 3)
    for m in range(3):
        torch.testing.assert_close(logits[m], one_by_one(network, m)(x[m]))
    torch.testing.assert_close(network(Batch(x[[2, 0]]), models=[2, 0]), logits[[2, 0]])


def test_parameters_and_multiplications_are_those_of_one_network():
    network = BatchedNetwork(Shape(5, 7, 2, 3), seeds=[1, 2])
    single = one_by_one(network, 0)
    assert network.n_parameters_each() == 5 + sum(p.numel() for p in single.parameters())  # a scale for each input
    assert network.multiplications_each() == 5 * 7 + 7 * 7 + 7 * 3


def test_initial_weights_depend_on_their_own_seed_alone():
    shape = Shape(5, 7, 1, 2, n_embedded=3, frequencies=4, dimensions=2)
    both, alone = BatchedNetwork(shape, [1, 2], [0.1, 2.0]), BatchedNetwork(shape, [2], [2.0])
    for together, single in zip(both.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(together[1], single[0], rtol=0, atol=0)
        is_constant = together.unique().numel() == 1  # biases and scales
        assert is_constant or not torch.equal(together[0], together[1])


def test_a_periodic_embedding_is_waves_mixed_beside_scaled_inputs():
    shape = Shape(3, 5, 1, 2, n_embedded=2, frequencies=400, dimensions=3)
    network = BatchedNetwork(shape, seeds=[1, 2], wave_deviations=[0.1, 2.0])
    scale, embedding = network.scale, network.embedding
    assert scale is not None
    assert embedding is not None
    np.testing.assert_allclose(embedding.frequencies.detach().std(dim=(1, 2)), [0.1, 2.0], rtol=0.1)
    scale.factors.data = torch.rand(2, 1, 3)
    x = torch.randn(2, 6, 3)
    for m in range(2):
        parts = [x[m] * scale.factors[m]]
        for j in range(2):
            waves = (2 * np.pi * x[m, :, j, None] * embedding.frequencies[m, j] + embedding.phases[m, j]).cos()
            parts.append(waves @ embedding.mix[m, j] + embedding.bias[m, j])
        expected = one_by_one(network, m)(torch.cat(parts, dim=1))
        torch.testing.assert_close(network(Batch(x))[m], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(Batch(x[[m]]), [m])[0], expected, rtol=1e-4, atol=1e-5)


def test_dropout_drops_each_models_share_and_keeps_the_mean():
    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    dropout = Dropout(torch.tensor([0.0, 0.4]), generators())
    x = torch.ones(2, 500, 100)
    dropped = dropout(x)
    assert torch.equal(dropped[0], x[0])
    assert (dropped[1] == 0).float().mean() == pytest.approx(0.4, abs=0.01)
    assert dropped[1].mean() == pytest.approx(1, abs=0.02)
    alone = Dropout(torch.tensor([0.4]), generators()[1:])
    torch.testing.assert_close(alone(x[1:])[0], dropped[1], rtol=0, atol=0)


def test_a_batched_network_on_ngrams_is_its_models_one_by_one():
    both, alone = on_ngrams(1, 2), on_ngrams(2)
    x, words = torch.randn(2, 4, 2), ("ab", "abc", "hut", "zug")
    together = both(Batch(x, bags(*words, n_models=2)))
    single = alone(Batch(x[1:], bags(*words)))
    torch.testing.assert_close(together[1], single[0])
    torch.testing.assert_close(both(Batch(x[1:], bags(*words)), [1])[0], single[0])
    total = sum(alone.vectors()[0][code] for code in bags("hut").codes)
    n = len(bags("hut").codes)
    first, second, third = linear(alone)
    hidden = gelu(x[1, 2] @ first.weight[0] + first.bias[0, 0] + total / n**0.5)
    hidden = gelu(hidden @ second.weight[0] + second.bias[0, 0])
    torch.testing.assert_close(single[0, 2], hidden @ third.weight[0] + third.bias[0, 0])
