"""The one interface of all learners: `fit` a list of jobs, `predict_proba` for some of them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.common.artefacts import Features
from stages.train.params import Setting

Status = Literal["ok", "unconverged", "diverged"]


@dataclass(frozen=True, eq=False)
class Draw:
    """The labelled rows of one replicate, some of them held out for tuning and early stopping.

    fit, validation: (n_fit,) and (n_validation,) rows; labels: int64 class ids.
    """

    fit: Features
    fit_labels: NDArray[np.int64]
    validation: Features
    validation_labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Job:
    """One fit: jobs may share a draw, and a seed."""

    draw: Draw
    setting: Setting
    seed: int


@dataclass(frozen=True)
class Record:
    """How one fit went. Losses are mean log losses in nats, lower is better; NaN where the fit diverged."""

    status: Status
    reason: str
    training_loss: float
    validation_loss: float
    epochs: int  # made: passes over the rows: epochs of a network, iterations of a solver, rounds of boosting
    n_parameters: int | None  # None where a library's fit does not tell
    train_flops: float | None


class Learner(Protocol):
    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        """Fit every job and forget all earlier ones; one record each, in their order."""

    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        """Class probabilities (n_jobs, n_rows, n_classes) of the fitted jobs with these indices."""


def fit_and_listen(model: Any, X: Any, labels: NDArray[np.int64]) -> str:
    """Fits a scikit-learn model; what its solver said went wrong, empty where nothing did.

    A count of iterations alone does not show a failed line search.
    """
    from sklearn.exceptions import ConvergenceWarning  # networks do without scikit-learn, whose import takes a second

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, labels)
    complaints = [str(w.message).splitlines()[0] for w in caught if issubclass(w.category, ConvergenceWarning)]
    return complaints[0] if complaints else ""


def aligned(model: Any, X: Any, n_classes: int) -> NDArray[np.float32]:
    """A scikit-learn model's probabilities of all classes, 0 for those that no fitted row had: (n_rows, n_classes)."""
    probabilities = np.zeros((X.shape[0], n_classes), np.float32)
    probabilities[:, model.classes_] = model.predict_proba(X)
    return probabilities


def log_loss(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """Mean negative log probability of the true class, in nats; probabilities: (n_rows, n_classes)."""
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_truth, 1e-7)).mean())
