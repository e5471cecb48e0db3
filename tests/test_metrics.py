"""Metrics against scikit-learn, and their influences against variances known otherwise."""

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from stages.evaluate.metrics import METRICS, constant_values, error_of, roc_auc_of


def drawn(n_classes: int, n_test: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(n_classes, size=n_test)
    return labels, rng.dirichlet(np.ones(n_classes), size=(2, n_test)) * 0.7 + 0.3 * np.eye(n_classes)[labels]


def calibration_oracle(labels: np.ndarray, probabilities: np.ndarray) -> float:
    is_right, confidence = probabilities.argmax(axis=1) == labels, probabilities.max(axis=1)
    shares, means = calibration_curve(is_right, confidence, n_bins=15)
    counts = np.histogram(confidence, bins=np.linspace(0, 1, 16))[0]
    return float(np.abs(shares - means) @ counts[counts > 0] / len(labels))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_metrics_agree_with_scikit_learn(n_classes):
    labels, probabilities = drawn(n_classes)
    for replicate, of_replicate in enumerate(probabilities):
        scores = of_replicate[:, 1] if n_classes == 2 else of_replicate
        expected = {
            "roc_auc": oracle.roc_auc_score(labels, scores, multi_class="ovr", average="macro"),
            "accuracy": oracle.accuracy_score(labels, of_replicate.argmax(axis=1)),
            "error": oracle.zero_one_loss(labels, of_replicate.argmax(axis=1)),
            "log_loss": oracle.log_loss(labels, of_replicate),
            "brier": oracle.brier_score_loss(labels, scores),
            "calibration_error": calibration_oracle(labels, of_replicate),
        }
        assert set(expected) == set(METRICS)
        for name, metric in METRICS.items():
            values, influences = metric.measure(labels, probabilities)
            assert values[replicate] == pytest.approx(expected[name], abs=1e-12), name
            assert influences.shape == (2, len(labels))
            assert influences.mean(axis=1) == pytest.approx(0, abs=1e-12)


def test_metrics_of_one_class_agree_with_scikit_learn():
    labels, probabilities = drawn(4)
    recalls = oracle.recall_score(labels, probabilities[0].argmax(axis=1), average=None)
    for k in range(4):
        assert error_of(k, labels, probabilities)[0][0] == pytest.approx(1 - recalls[k])
        expected = oracle.roc_auc_score(labels == k, probabilities[0, :, k])
        assert roc_auc_of(k, labels, probabilities)[0][0] == pytest.approx(expected)


def test_the_variance_of_roc_auc_is_delongs():
    labels, probabilities = drawn(2, n_test=300)
    _, influences = METRICS["roc_auc"].measure(labels, probabilities)
    scores = np.round(probabilities[0, :, 1], 2)  # with ties
    _, tied = METRICS["roc_auc"].measure(labels, np.stack([1 - scores, scores], axis=1)[None])
    for values, of_rows in ((probabilities[0, :, 1], influences[0]), (scores, tied[0])):
        positive, negative = values[labels == 1], values[labels == 0]
        kernel = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
        expected = kernel.mean(axis=1).var() / len(positive) + kernel.mean(axis=0).var() / len(negative)
        assert of_rows.var() / len(labels) == pytest.approx(expected)


@pytest.mark.parametrize("name", list(METRICS))
def test_influences_give_the_variance_over_test_sets(name):
    rng = np.random.default_rng(1)
    labels, probabilities = drawn(3, n_test=2000)
    rows = rng.integers(2000, size=(400, 400))  # 400 test sets of 400 rows
    values = [METRICS[name].measure(labels[r], probabilities[:1, r])[0][0] for r in rows]
    predicted = METRICS[name].measure(labels, probabilities[:1])[1].std() / np.sqrt(400)
    # A standard deviation of 400 values is known to within 3.5 %; bins change sign now and then.
    assert np.std(values) == pytest.approx(predicted, rel=0.3 if name == "calibration_error" else 0.12)


@pytest.mark.parametrize("name", list(METRICS))
def test_chance_is_what_guessing_reaches(name):
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=200_000)
    spreads = name in ("log_loss", "brier", "calibration_error")
    guesses = np.full((1, 200_000, 4), 0.25) if spreads else np.eye(4)[rng.integers(4, size=(1, 200_000))]
    assert METRICS[name].measure(labels, guesses)[0] == pytest.approx(METRICS[name].chance(4), abs=0.005)


def test_the_constant_predictor_gives_every_row_the_class_shares():
    values = constant_values(np.array([0, 0, 0, 1]), np.array([0.75, 0.25]))
    assert (values["roc_auc"], values["accuracy"]) == (0.5, 0.75)
    assert values["log_loss"] == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert values["calibration_error"] == pytest.approx(0)


def test_a_class_without_a_test_row_is_left_out_of_roc_auc():
    labels, probabilities = drawn(3)
    kept = labels < 2
    values, _ = METRICS["roc_auc"].measure(labels[kept], probabilities[:, kept])
    expected = [oracle.roc_auc_score(labels[kept] == k, probabilities[0, kept, k]) for k in (0, 1)]
    assert values[0] == pytest.approx(np.mean(expected))
