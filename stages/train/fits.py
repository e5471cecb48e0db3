"""The one interface of all learners: `fit` a list of jobs, `predict_proba` for some of them."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from stages.common.artefacts import Features, joined
from stages.common.errors import InputError
from stages.train.params import Setting

Status = Literal["ok", "unconverged", "diverged"]  # from good to bad


class TooFewRows(InputError):
    """These rows cannot be fitted on, whatever the learner does: a result, as there are sizes above."""

    def __init__(self, n_train: int, what: str):
        remedy = "raise scale.sizes, or scale.tuning_rows where these are tuned on"
        super().__init__(f"n_train={n_train}: {what}; {remedy}")


@dataclass(frozen=True, eq=False)
class Draw:
    """The labelled rows of one replicate, some of them held out for tuning and early stopping.

    fit, validation: (n_fit,) and (n_validation,) rows; labels: int64 class ids.
    """

    fit: Features
    fit_labels: NDArray[np.int64]
    validation: Features
    validation_labels: NDArray[np.int64]

    @cached_property
    def whole(self) -> "Draw":
        """All rows to be fitted, none held out."""
        features = joined(self.fit, self.validation)
        labels = np.concatenate([self.fit_labels, self.validation_labels])
        return Draw(features, labels, self.validation[:0], self.validation_labels[:0])


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

    def refit(self, jobs: Sequence[int]) -> list[Record]:
        """Fit the jobs of these indices again on all rows of their draws, for as long as was best on the held-out rows.

        They then are the jobs 0, 1, ... What the held-out rows said of calibration stays, and so does the validation
        loss in their records.
        """

    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        """Class probabilities (n_jobs, n_rows, n_classes) of the fitted jobs with these indices."""


def in_all(first: Record, again: Record) -> Record:
    """The record of a fit on all rows, whose length and validation loss the first found: operations are those of both,
    and what was amiss with either is, the worse first."""
    flops = None if first.train_flops is None or again.train_flops is None else first.train_flops + again.train_flops
    kept = replace(again, validation_loss=first.validation_loss, train_flops=flops)
    is_worse = get_args(Status).index(first.status) > get_args(Status).index(again.status)
    return replace(kept, status=first.status, reason=first.reason) if is_worse else kept


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


class OneByOne(ABC):
    """A learner whose jobs are fitted one by one by a library."""

    def __init__(self, n_classes: int):
        self.n_classes = n_classes
        self._jobs: list[Job] = []
        self._records: list[Record] = []
        self._fitted: list[Any] = []

    @abstractmethod
    def _fit(self, job: Job) -> tuple[Any, Record]:
        """The fitted model, in whatever form `_predict` takes, and how it went."""

    @abstractmethod
    def _refit(self, job: Job, fitted: Any, record: Record) -> tuple[Any, Record]:
        """The same on all rows of the job's draw, for as long as the first fit found best."""

    @abstractmethod
    def _predict(self, fitted: Any, features: Features) -> NDArray[np.float32]:
        """Class probabilities (n_rows, n_classes)."""

    def _each(self, fit: Callable[..., tuple[Any, Record]], arguments: Sequence[tuple]) -> list[tuple[Any, Record]]:
        """fit(*arguments) of each job."""
        return [fit(*of_job) for of_job in arguments]

    def fit(self, jobs: Sequence[Job]) -> list[Record]:
        return self._take_over(jobs, self._each(self._fit, [(job,) for job in jobs]))

    def refit(self, jobs: Sequence[int]) -> list[Record]:
        chosen = [(self._jobs[job], self._fitted[job], self._records[job]) for job in jobs]
        return self._take_over([job for job, _, _ in chosen], self._each(self._refit, chosen))

    def _take_over(self, jobs: Sequence[Job], found: Sequence[tuple[Any, Record]]) -> list[Record]:
        self._jobs = list(jobs)
        self._fitted, self._records = [fitted for fitted, _ in found], [record for _, record in found]
        return list(self._records)

    def predict_proba(self, features: Features, jobs: Sequence[int]) -> NDArray[np.float32]:
        return np.stack([self._predict(self._fitted[job], features) for job in jobs])
