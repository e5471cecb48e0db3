"""The one interface of all learners: `fit` a list of jobs, `predict_proba` for some of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.features import Features, joined
from stages.train.params import Setting

Status = Literal["ok", "unconverged", "diverged"]  # from good to bad
Known = Literal["32-true", "bf16-mixed", "32-mixed", "64-true"]  # precision, as Lightning calls it
ON_CPU = "STAGES_ON_CPU"  # in the environment of networks that train on the CPU, whatever else is there


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


@dataclass(frozen=True)
class Hardware:
    """What fits run on. accelerator: cpu | cuda | mps."""

    accelerator: str
    precision: Known
    name: str | None = None


@dataclass(frozen=True)
class Origin:
    """What makes fits. estimator: what is fitted, as cell.json says it; packages: besides numpy, scipy and
    scikit-learn."""

    hardware: Hardware
    estimator: str
    packages: list[str]


@dataclass(frozen=True)
class Made:
    learner: Learner
    origin: Origin


def in_all(first: Record, again: Record) -> Record:
    """The record of a fit on all rows, whose length and validation loss the first found: operations are those of both,
    and what was amiss with either is, the worse first."""
    flops = None if first.train_flops is None or again.train_flops is None else first.train_flops + again.train_flops
    kept = replace(again, validation_loss=first.validation_loss, train_flops=flops)
    is_worse = get_args(Status).index(first.status) > get_args(Status).index(again.status)
    return replace(kept, status=first.status, reason=first.reason) if is_worse else kept
