"""How sure a network may be of itself."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from stages.train.network.temperature import with_temperature

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_temperature_is_the_one_that_a_search_finds_and_rows_without_weight_do_not_count():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(2, 300, 4)) * 3)
    labels = torch.from_numpy(rng.integers(4, size=(2, 300)))
    is_sure = torch.from_numpy(rng.random((2, 300)) < 0.5)
    labels[is_sure] = logits.argmax(dim=2)[is_sure]
    n_rows = torch.tensor([300, 200])
    weights = (torch.arange(300) < n_rows[:, None]) / n_rows[:, None]
    losses, temperatures = with_temperature(logits, labels, weights)

    def penalised(log_temperature: float, m: int, n: int) -> float:
        scaled = logits[m, :n] / np.exp(log_temperature)
        loss = nn.functional.cross_entropy(scaled, labels[m, :n])
        return float(loss) + log_temperature**2 / (2 * n)

    for m, n in enumerate(n_rows.tolist()):
        found = minimize_scalar(penalised, bounds=(-3, 3), args=(m, n), method="bounded", options={"xatol": 1e-6})
        assert temperatures[m] == pytest.approx(np.exp(found.x), rel=1e-3)
        expected = nn.functional.cross_entropy(logits[m, :n] / float(temperatures[m]), labels[m, :n])
        assert losses[m] == pytest.approx(float(expected), rel=1e-5)


def test_a_temperature_stays_within_bounds_where_all_rows_are_right():
    logits = torch.eye(3).repeat(1, 5, 1)
    labels = torch.arange(3).repeat(5)[None]
    losses, temperatures = with_temperature(logits, labels, torch.full((1, 15), 1 / 15))
    assert 1 / 21 < float(temperatures[0]) < 0.5
    assert torch.isfinite(losses).all()
