"""The averaged weights that are used."""

import pytest
import torch

from stages.train.network.averages import Averages
from stages.train.network.layers import BatchedNetwork, Shape

pytestmark = pytest.mark.usefixtures("one_thread")


def test_averaged_weights_are_those_of_polynomial_decay():
    """Shamir and Zhang 2013 with eta = 8: after step t the new weights count (eta + 1) / (t + eta)."""
    network = BatchedNetwork(Shape(1, 1, 1, 2), seeds=[1])
    averages, weight = Averages(network), network.decayed()[0]
    expected = 0.0
    for t, value in enumerate([3.0, -1.0, 4.0, 1.0, -5.0], start=1):
        with torch.no_grad():
            weight.fill_(value)
        averages.update()
        expected = value if t == 1 else expected + (value - expected) * 9 / (t + 8)
    with averages.in_place():
        assert float(weight.detach()) == pytest.approx(expected)
    assert float(weight.detach()) == -5.0
