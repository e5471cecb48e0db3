"""Metrics of a cell's test probabilities, each with the share that every test row has in it.

A metric gives values (n_replicates,) and influences (n_replicates, n_test): what row i adds to the value, so that the
influences of a replicate have mean 0 and their variance over rows, divided by n_test, is the variance of the value
over test sets. For means of rows (error, log loss, Brier score) this is the row's deviation from the mean; for ROC
AUC the placement values of DeLong, DeLong and Clarke-Pearson 1988; for the calibration error the row's signed gap,
its bin's sign held fixed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Labels = NDArray[np.int64]
Floats = NDArray[np.floating]
Measured = tuple[NDArray[np.float64], NDArray[np.float64]]  # values (n_replicates,), influences (n_replicates, n_test)
T = TypeVar("T", float, NDArray[np.float64])

N_BINS = 15  # of the calibration error, of equal width (Guo et al. 2017)
MIN_PROBABILITY = 1e-7  # of the true class in the log loss, so that one row costs 16 nats at most


@dataclass(frozen=True)
class Metric:
    """One way to measure predictions; inside `evaluate` its values are signed so that higher is better.

    measure: of labels (n_test,) and probabilities (n_replicates, n_test, n_classes); chance: what guessing reaches in
    the mean, each class of so many with the same probability; highest: no value is above it, and none below 0;
    of_class: the same of one class; is_of_picture: whether dataset.metric may name it.
    """

    name: str
    label: str
    measure: Callable[[Labels, Floats], Measured]
    is_loss: bool
    chance: Callable[[int], float]
    highest: float = 1.0
    of_class: Callable[[int, Labels, Floats], Measured] | None = None
    is_of_picture: bool = True

    def signed(self, value: T) -> T:
        """A value so that higher is better, or such a one as it is told."""
        return -value if self.is_loss else value

    def loss(self, signed: T) -> T:
        """A signed value as a loss, of which lower is better: the metric itself, or one less it."""
        return -signed if self.is_loss else 1 - signed

    def of_loss(self, loss: T) -> T:
        """A loss as the metric tells it."""
        return loss if self.is_loss else 1 - loss

    def left_by_guessing(self, n_classes: int) -> float:
        """How far from the best value guessing stays."""
        return self.of_loss(self.chance(n_classes))


def error(labels: Labels, probabilities: Floats) -> Measured:
    """Share of rows whose most probable class is not the true one, in [0, 1]; lower is better.

    labels: (n_test,) class ids, probabilities: (n_replicates, n_test, n_classes).
    """
    return _mean_of(probabilities.argmax(axis=2) != labels)


def accuracy(labels: Labels, probabilities: Floats) -> Measured:
    """Share of rows whose most probable class is the true one, in [0, 1]; higher is better."""
    return _mean_of(probabilities.argmax(axis=2) == labels)


def log_loss(labels: Labels, probabilities: Floats) -> Measured:
    """Mean negative log probability of the true class in nats, at most 16.1; lower is better."""
    of_truth = probabilities[:, np.arange(len(labels)), labels].astype(np.float64)
    return _mean_of(-np.log(np.maximum(of_truth, MIN_PROBABILITY)))


def brier(labels: Labels, probabilities: Floats) -> Measured:
    """Mean squared distance of the probabilities from the truth; lower is better.

    Summed over classes, in [0, 2]; halved for two classes, in [0, 1], as is usual (and as scikit-learn does).
    """
    squares = (probabilities.astype(np.float64) ** 2).sum(axis=2)
    of_truth = probabilities[:, np.arange(len(labels)), labels].astype(np.float64)
    distance = squares - 2 * of_truth + 1
    return _mean_of(distance / 2 if probabilities.shape[2] == 2 else distance)


def calibration_error(labels: Labels, probabilities: Floats) -> Measured:
    """Expected calibration error of the most probable class over 15 bins, in [0, 1]; lower is better.

    Noise in the bins makes it a little too large, the more so the fewer the test rows.
    """
    confidence = probabilities.max(axis=2).astype(np.float64)
    gap = (probabilities.argmax(axis=2) == labels) - confidence  # (n_replicates, n_test)
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    signed = np.empty_like(gap)
    for replicate in range(len(gap)):
        sums = np.bincount(bins[replicate], gap[replicate], N_BINS)
        signed[replicate] = np.sign(sums)[bins[replicate]] * gap[replicate]
    return _mean_of(signed)


def roc_auc(labels: Labels, probabilities: Floats) -> Measured:
    """Area under the ROC curve in [0, 1], .5 is chance; higher is better.

    Beyond two classes the plain mean over classes of one against the rest; classes without a test row are left out.
    """
    n_classes = probabilities.shape[2]
    classes = [1] if n_classes == 2 else range(n_classes)
    parts = [roc_auc_of(k, labels, probabilities) for k in classes if 0 < (labels == k).sum() < len(labels)]
    values, influences = zip(*parts, strict=True)
    return np.mean(values, axis=0), np.mean(influences, axis=0)


def roc_auc_of(k: int, labels: Labels, probabilities: Floats) -> Measured:
    """Area under the ROC curve of class k against the rest; both sides must have a row."""
    is_k = labels == k
    scores = probabilities[:, :, k]
    n_test, n_k = len(labels), int(is_k.sum())
    ranks = rankdata(scores, axis=1)
    # The share of the other side that a row of class k beats, and by which a row of the other side is beaten.
    beats = (ranks[:, is_k] - rankdata(scores[:, is_k], axis=1)) / (n_test - n_k)
    beaten = 1 - (ranks[:, ~is_k] - rankdata(scores[:, ~is_k], axis=1)) / n_k
    values = beats.mean(axis=1)
    influences = np.empty(scores.shape)
    influences[:, is_k] = (beats - values[:, None]) * (n_test / n_k)
    influences[:, ~is_k] = (beaten - values[:, None]) * (n_test / (n_test - n_k))
    return values, influences


def error_of(k: int, labels: Labels, probabilities: Floats) -> Measured:
    """Share of the rows of class k whose most probable class is another one; the class must have a row."""
    is_k = labels == k
    wrong = probabilities.argmax(axis=2) != labels
    values = wrong[:, is_k].mean(axis=1)
    return values, np.where(is_k, wrong - values[:, None], 0) / is_k.mean()


METRICS = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ROC AUC", roc_auc, False, lambda _: 0.5, of_class=roc_auc_of),
        Metric("accuracy", "Accuracy", accuracy, False, lambda n: 1 / n),
        Metric("error", "Error", error, True, lambda n: 1 - 1 / n, of_class=error_of),
        Metric("log_loss", "Log loss", log_loss, True, lambda n: float(np.log(n)), highest=np.inf),
        Metric("brier", "Brier score", brier, True, lambda n: 0.25 if n == 2 else 1 - 1 / n, highest=np.inf),
        Metric("calibration_error", "Calibration error", calibration_error, True, lambda _: 0.0, is_of_picture=False),
    )
}


def constant_values(labels: Labels, class_shares: NDArray[np.float64]) -> dict[str, float]:
    """What the constant predictor reaches on the test rows by each metric: every row gets the pool's class shares."""
    constant = np.broadcast_to(class_shares, (1, len(labels), len(class_shares)))
    return {name: float(metric.measure(labels, constant)[0][0]) for name, metric in METRICS.items()}


def _mean_of(rows: NDArray[np.generic]) -> Measured:
    values = rows.mean(axis=1, dtype=np.float64)
    return values, rows - values[:, None]
