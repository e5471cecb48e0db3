"""MNIST-1D: the published accuracies, from signals drawn here."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stages.prepare.sources import mnist1d
from tests.conftest import source_of


def test_logistic_regression_is_as_right_as_published():
    """Greydanus and Kobak 2020: .32 of 1,000 signals after 4,000."""
    table = mnist1d.load(source_of("mnist1d", n_rows=14_000))
    X, y = table.features.blocks["values"], table.labels
    model = LogisticRegression(max_iter=500).fit(X[:4000], y[:4000])
    assert model.score(X[4000:], y[4000:]) == pytest.approx(0.32, abs=0.02)


def test_the_seed_decides_and_classes_are_level():
    first, second, other = (mnist1d.load(source_of("mnist1d", n_rows=1000, seed=seed)) for seed in (0, 0, 1))
    assert first.features.blocks["values"].tobytes() == second.features.blocks["values"].tobytes()
    assert first.features.blocks["values"].tobytes() != other.features.blocks["values"].tobytes()
    assert np.bincount(first.labels).tolist() == [100] * 10


def test_without_noise_a_signal_is_the_template_stretched_and_sheared(monkeypatch):
    for name in ("CORRELATED", "INDEPENDENT", "SHEAR", "SCALE"):
        monkeypatch.setattr(mnist1d, name, 0.0)
    monkeypatch.setattr(mnist1d, "N_SHIFTS", 1)
    drawn = mnist1d.signals(np.full(200, 2), np.random.default_rng(0))
    template = mnist1d.TEMPLATES[2]
    height = (template - template[0]) / template.std() / 6
    # The most stretched digit fills 12 of 48 points of 72, so 40 values hold it in the first 11.
    np.testing.assert_allclose(drawn.max(), height.max(), atol=0.05)
    np.testing.assert_allclose(drawn.min(), height.min(), atol=0.05)
    assert np.all(drawn[:, 12:] == 0)
