"""Learners whose jobs are fitted one by one by a library: each draw is encoded once, for all settings that compete."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common.features import Features
from stages.train.inputs import encoder_of
from stages.train.inputs.forms import Encoder, Inputs
from stages.train.jobs import Draw, Job, Record


@dataclass(frozen=True)
class Rows:
    """A draw's rows in the form that the learner asks for; X_held is None where none are held out.

    is_even, is_plain, is_categorical: see `Inputs`.
    """

    encoder: Encoder
    X: Any
    labels: NDArray[np.int64]
    X_held: Any
    held_labels: NDArray[np.int64]
    is_even: bool
    is_plain: bool
    is_categorical: NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """A job's model, whatever `probabilities` takes, how its fit went, and the encoder of its rows."""

    job: Job
    model: Any
    record: Record
    encoder: Encoder


class OneByOne(ABC):
    """See `stages.train.jobs.Learner`."""

    def __init__(self, n_classes: int, features: str = "raw"):
        self.n_classes, self.features = n_classes, features
        self._fits: list[Fit] = []

    @abstractmethod
    def model(self, job: Job, rows: Rows) -> tuple[Any, Record]:
        """The model of the job's setting on the fitted rows; the held-out ones choose among settings, and may stop."""

    @abstractmethod
    def model_again(self, job: Job, rows: Rows, first: Fit) -> tuple[Any, Record]:
        """The same on all rows of the job's draw, for as long as the first fit found best."""

    @abstractmethod
    def probabilities(self, model: Any, X: Any) -> NDArray[np.float32]:
        """Of all classes: (n_rows, n_classes)."""

    def inputs(self, encoder: Encoder, features: Features) -> Inputs:
        return encoder.encode(features)

    def matrix(self, inputs: Inputs) -> Any:
        """What the library is given."""
        return inputs.matrix()

    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        def made(i: int, rows: Rows) -> Fit:
            return Fit(jobs[i], *self.model(jobs[i], rows), rows.encoder)

        return self._take_over(self._each(made, [job.draw for job in jobs]))

    def refit(self, jobs: Sequence[int]) -> list[Record]:
        firsts = [self._fits[job] for job in jobs]

        def made(i: int, rows: Rows) -> Fit:
            job = firsts[i].job
            return Fit(job, *self.model_again(job, rows, firsts[i]), rows.encoder)

        return self._take_over(self._each(made, [first.job.draw.whole for first in firsts]))

    def _take_over(self, fits: list[Fit]) -> list[Record]:
        self._fits = fits
        return [fit.record for fit in fits]

    def _each(self, made: Callable[[int, Rows], Fit], draws: Sequence[Draw]) -> list[Fit]:
        """made(i, the rows of draws[i]) for each i; a draw is encoded once, and its encoded rows then given up."""
        fits: dict[int, Fit] = {}
        for draw in dict.fromkeys(draws):
            rows = self.encoded(draw)
            fits |= {i: made(i, rows) for i, other in enumerate(draws) if other is draw}
            del rows
        return [fits[i] for i in range(len(draws))]

    def encoded(self, draw: Draw) -> Rows:
        encoder = encoder_of(draw.fit, draw.fit_labels, self.features)
        fitted = self.inputs(encoder, draw.fit)
        X_held = self.matrix(self.inputs(encoder, draw.validation)) if len(draw.validation) else None
        return Rows(encoder, self.matrix(fitted), draw.fit_labels, X_held, draw.validation_labels,
                    fitted.is_even, fitted.is_plain, fitted.is_categorical)  # fmt: skip

    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        found = np.empty((len(jobs), len(features), self.n_classes), np.float32)
        for encoder in dict.fromkeys(self._fits[job].encoder for job in jobs):
            X = self.matrix(self.inputs(encoder, features))
            for of_job, job in zip(found, jobs, strict=True):
                if self._fits[job].encoder is encoder:
                    of_job[:] = self.probabilities(self._fits[job].model, X)
        return found


def fit_and_listen(model: Any, X: Any, labels: NDArray[np.int64]) -> str:
    """Fits a scikit-learn model; what its solver said went wrong, empty where nothing did.

    A count of iterations alone does not show a failed line search.
    """
    from sklearn.exceptions import ConvergenceWarning  # boosting does without scikit-learn, whose import takes a second

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, labels)
    complaints = [
        str(w.message).splitlines()[0].rstrip(" :") for w in caught if issubclass(w.category, ConvergenceWarning)
    ]
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
