"""Metrics of one replicate's test probabilities."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

Metric = Callable[[NDArray[np.int64], NDArray[np.floating]], float]


def roc_auc(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Area under the ROC curve in [0, 1], .5 is chance, higher is better; beyond two classes one-vs-rest, macro."""
    if probabilities.shape[1] == 2:
        return float(metrics.roc_auc_score(labels, probabilities[:, 1]))
    is_class = labels[:, None] == np.arange(probabilities.shape[1])
    return float(np.mean([metrics.roc_auc_score(is_class[:, k], p) for k, p in enumerate(probabilities.T)]))


def accuracy(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Share of rows whose most probable class is the true one, higher is better."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def error(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Share of rows whose most probable class is not the true one, lower is better."""
    return 1 - accuracy(labels, probabilities)


def log_loss(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Mean negative log probability of the true class in nats, at most -log(1e-7); lower is better."""
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_truth, 1e-7)).mean())


METRICS: dict[str, Metric] = {"roc_auc": roc_auc, "accuracy": accuracy, "error": error, "log_loss": log_loss}
LABELS = {"roc_auc": "ROC AUC", "accuracy": "Accuracy", "error": "Error", "log_loss": "Log loss (nats)"}
HIGHER_IS_BETTER = {"roc_auc": True, "accuracy": True, "error": False, "log_loss": False}


def constant_predictions(labels: NDArray[np.int64], class_shares: NDArray[np.floating]) -> NDArray[np.floating]:
    """Every row gets the class shares of the pool: (n_test, n_classes)."""
    return np.tile(class_shares, (len(labels), 1))


def chance(metric: str, n_classes: int) -> float:
    """The expected value of guessing a class, all equally probable."""
    return {
        "roc_auc": 0.5,
        "accuracy": 1 / n_classes,
        "error": 1 - 1 / n_classes,
        "log_loss": float(np.log(n_classes)),
    }[metric]
