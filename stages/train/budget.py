"""The label budget: n rows pay for fitting, tuning and early stopping."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.common.artefacts import Features, take
from stages.common.errors import InputError
from stages.train.fits import Draw, Job, Learner, Record
from stages.train.params import Setting, Train, Tuning


@dataclass(frozen=True)
class Pool:
    """All labelled rows; groups is None where rows may be held out one by one."""

    features: Features
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None


@dataclass(frozen=True)
class Replicate:
    """One draw of the rows, the subset's row ids in labelling order, and the seed of its initialisation."""

    draw: int
    initialisation: int
    rows: NDArray[np.int64]
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What was chosen for one replicate and how its final fit went."""

    setting: Setting
    record: Record
    tuning_losses: list[float]  # validation loss of each setting, in their order


def fit_and_tune(
    learner: Learner,
    replicates: Sequence[Replicate],
    pool: Pool,
    settings: Sequence[Setting],
    budget: Train,
    tuning: Tuning,
    test: Features,
) -> tuple[list[Outcome], NDArray[np.float32]]:
    """Outcomes and test probabilities (n_replicates, n_test, n_classes), NaN for a replicate that diverged.

    The first `n_settings` of the settings compete: each is fitted on the first `tuning_rows` of the n rows, less those
    held out, and the one with the lowest validation loss is taken. With n at most `tuning_rows` that fit is the final
    one; otherwise the setting is fitted again on all n rows, less those held out. The held-out rows are never added
    back: the same for all learners.
    """
    n_train = len(replicates[0].rows)
    draws = _draws(replicates, pool, min(n_train, tuning.tuning_rows), budget)
    n_settings = tuning.n_settings
    jobs = [Job(draws[i], setting, rep.seed) for i, rep in enumerate(replicates) for setting in settings[:n_settings]]
    records = learner.fit(jobs)
    losses = np.array([record.validation_loss for record in records]).reshape(-1, n_settings)
    best = np.where(np.isnan(losses), np.inf, losses).argmin(axis=1)  # (n_replicates,)

    chosen_jobs = [i * n_settings + int(choice) for i, choice in enumerate(best)]
    final = [records[job] for job in chosen_jobs]
    if n_train > tuning.tuning_rows:
        draws = _draws(replicates, pool, n_train, budget)
        final = learner.fit([Job(draws[i], settings[best[i]], rep.seed) for i, rep in enumerate(replicates)])
        chosen_jobs = list(range(len(replicates)))
    probabilities = learner.predict_proba(test, chosen_jobs)
    probabilities[[record.status == "diverged" for record in final]] = np.nan
    outcomes = [
        Outcome(settings[choice], record, losses[i].tolist())
        for i, (choice, record) in enumerate(zip(best, final, strict=True))
    ]
    return outcomes, probabilities


def _draws(replicates: Sequence[Replicate], pool: Pool, n: int, budget: Train) -> list[Draw]:
    """The first n rows of each replicate; replicates of the same draw share one object, and so its encoding."""
    made: dict[int, Draw] = {}
    for replicate in replicates:
        if replicate.draw not in made:
            made[replicate.draw] = _split(replicate.rows[:n], pool, budget)
    return [made[replicate.draw] for replicate in replicates]


def _split(rows: NDArray[np.int64], pool: Pool, budget: Train) -> Draw:
    labels = take(pool.labels, rows)
    groups = None if pool.groups is None else take(pool.groups, rows)
    held = held_out(len(rows), groups, budget)
    if len(np.unique(labels[~held])) < 2:
        raise InputError(f"n_train={len(rows)}: the rows to fit hold one class only; raise scale.sizes")
    features = pool.features[rows]
    return Draw(features[~held], labels[~held], features[held], labels[held])


def held_out(n: int, groups: NDArray[np.int64] | None, budget: Train) -> NDArray[np.bool_]:
    """Which of n rows in labelling order are held out for tuning and early stopping: (n,).

    The last ones, which are a stratified sample as every stretch of the order is. With groups (days), the groups of
    the last rows as a whole, so that no group stands on both sides.
    """
    n_held = max(1, min(int(n * budget.validation_share), budget.validation_rows))
    if groups is None:
        return np.arange(n) >= n - n_held
    # Groups by their last appearance, latest first, until they hold n_held rows.
    names, first_from_end, counts = np.unique(groups[::-1], return_index=True, return_counts=True)
    order = np.argsort(first_from_end)
    n_groups = 1 + int(np.searchsorted(np.cumsum(counts[order]), n_held))
    if n_groups >= len(names):
        raise InputError(f"n_train={n}: {len(names)} groups are too few to hold one out; raise scale.sizes")
    return np.isin(groups, names[order[:n_groups]])
