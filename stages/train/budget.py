"""The label budget: n rows pay for fitting, tuning and early stopping."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.common.features import Features, take
from stages.train.jobs import Draw, Job, Learner, Record, TooFewRows
from stages.train.params import Setting, Train


@dataclass(frozen=True)
class Pool:
    """All labelled rows; groups is None where rows may be held out one by one, times where they have no order."""

    features: Features
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    times: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Replicate:
    """One draw of the rows, the subset's row ids in labelling order, and the seed of its initialisation."""

    draw: int
    initialisation: int
    rows: NDArray[np.int64]
    seed: int


@dataclass(frozen=True)
class Choice:
    """The setting that won, its place in the list, and the validation loss of each setting that competed."""

    index: int
    setting: Setting
    losses: list[float]


@dataclass(frozen=True)
class Competition:
    """Every setting fitted for every replicate.

    records: one per fit, the settings of a replicate one after the other; choices: one per replicate, the setting with
    the lowest validation loss, which counts as infinite where the fit diverged.
    """

    records: list[Record]
    choices: list[Choice]

    def jobs_of_choices(self) -> list[int]:
        """Of each replicate the place of its choice among the fits."""
        n_settings = len(self.records) // len(self.choices)
        return [i * n_settings + choice.index for i, choice in enumerate(self.choices)]


def compete(
    learner: Learner, replicates: Sequence[Replicate], pool: Pool, settings: Sequence[Setting], budget: Train
) -> Competition:
    """Fit each setting on the rows of each replicate less those held out, whose loss then chooses."""
    draws = draws_of(replicates, pool, budget)
    records = learner.fit([Job(draws[i], s, rep.seed) for i, rep in enumerate(replicates) for s in settings])
    losses = np.array([record.validation_loss for record in records]).reshape(-1, len(settings))
    best = np.where(np.isnan(losses), np.inf, losses).argmin(axis=1)  # (n_replicates,)
    choices = [Choice(int(i), settings[i], of_replicate.tolist()) for i, of_replicate in zip(best, losses, strict=True)]
    return Competition(records, choices)


def tune_and_fit(
    learner: Learner,
    replicates: Sequence[Replicate],
    pool: Pool,
    settings: Sequence[Setting],
    budget: Train,
    test: Features,
) -> tuple[list[Choice], list[Record], NDArray[np.float32]]:
    """Of each replicate the choice among the settings, its fit, and test probabilities: see `predicted`."""
    found = compete(learner, replicates, pool, settings, budget)
    records = learner.refit(found.jobs_of_choices())
    return found.choices, records, predicted(learner, records, test)


def fit_chosen(
    learner: Learner,
    replicates: Sequence[Replicate],
    pool: Pool,
    choices: Sequence[Choice],
    budget: Train,
    test: Features,
) -> tuple[list[Record], NDArray[np.float32]]:
    """Of each replicate the fit of the setting chosen for its draw, and test probabilities: see `predicted`.

    choices: one per draw. The setting is fitted on the replicate's rows less those held out, which stop it early, and
    then on all of them.
    """
    draws = draws_of(replicates, pool, budget)
    learner.fit([Job(draws[i], choices[rep.draw].setting, rep.seed) for i, rep in enumerate(replicates)])
    records = learner.refit(range(len(replicates)))
    return records, predicted(learner, records, test)


def predicted(learner: Learner, records: Sequence[Record], test: Features) -> NDArray[np.float32]:
    """Test probabilities (n_jobs, n_test, n_classes) of the jobs fitted last, NaN for one that diverged."""
    probabilities = learner.predict_proba(test, range(len(records)))
    probabilities[[record.status == "diverged" for record in records]] = np.nan
    return probabilities


def draws_of(replicates: Sequence[Replicate], pool: Pool, budget: Train) -> list[Draw]:
    """The rows of each replicate; replicates of the same draw share one object, and so its encoding."""
    made: dict[int, Draw] = {}
    for replicate in replicates:
        if replicate.draw not in made:
            made[replicate.draw] = _split(replicate.rows, pool, budget)
    return [made[replicate.draw] for replicate in replicates]


def _split(rows: NDArray[np.int64], pool: Pool, budget: Train) -> Draw:
    labels = take(pool.labels, rows)
    if pool.times is not None:
        held = latest(take(pool.times, rows), budget)
    else:
        held = held_out(len(rows), None if pool.groups is None else take(pool.groups, rows), budget)
    if len(np.unique(labels[~held])) < 2:
        raise TooFewRows(len(rows), "the rows to fit hold one class only")
    features = pool.features[rows]
    return Draw(features[~held], labels[~held], features[held], labels[held])


def latest(times: NDArray[np.int64], budget: Train) -> NDArray[np.bool_]:
    """Which rows are held out where the test asks about later ones: the latest, all of one moment together: (n,)."""
    n_held = _n_held(len(times), budget)
    held = times >= np.partition(times, -n_held)[-n_held]
    if held.all():
        raise TooFewRows(len(times), "all rows are of one moment, so none can be held out")
    return held


def _n_held(n: int, budget: Train) -> int:
    return max(1, min(int(n * budget.validation_share), budget.validation_rows))


def held_out(n: int, groups: NDArray[np.int64] | None, budget: Train) -> NDArray[np.bool_]:
    """Which of n rows in labelling order are held out for tuning and early stopping: (n,).

    The last ones, which are a stratified sample as every stretch of the order is. With groups (days), the groups of
    the last rows as a whole, so that no group stands on both sides.
    """
    n_held = _n_held(n, budget)
    if groups is None:
        return np.arange(n) >= n - n_held
    # Groups by their last appearance, latest first, until they hold n_held rows.
    names, first_from_end, counts = np.unique(groups[::-1], return_index=True, return_counts=True)
    order = np.argsort(first_from_end)
    n_groups = 1 + int(np.searchsorted(np.cumsum(counts[order]), n_held))
    if n_groups >= len(names):
        raise TooFewRows(n, f"{len(names)} groups are too few to hold one out")
    return np.isin(groups, names[order[:n_groups]])
