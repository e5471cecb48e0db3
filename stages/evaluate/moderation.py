"""Variances of few degrees of freedom: their logs, their scatter (Smyth 2004), and fits that failed."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from scipy.special import polygamma, psi

from stages.evaluate.sums import Array, CellName

FAILURE = 8.0  # times the learner's usual distance from the median: what lies so far below is a failure


def failures(values: Mapping[CellName, Array], slopes: Callable[[str], Sequence[float]]) -> dict[str, tuple[int, int]]:
    """Learners of which some fits lie far below the others by each of their slopes: how many, and of how many.

    values: (n_replicates,) of each cell, NaN where there is no usable fit; slopes: of log variance against log n.
    """
    found = {}
    for learner in dict.fromkeys(name for name, _ in values):
        cells = [(n, of_cell[np.isfinite(of_cell)]) for (name, n), of_cell in values.items() if name == learner]
        cells = [(n, usable) for n, usable in cells if len(usable) >= 3]
        if n_failed := min((_n_far_below(cells, slope) for slope in slopes(learner)), default=0):
            found[learner] = (n_failed, sum(len(usable) for _, usable in cells))
    return found


def neighbours(
    values: Mapping[CellName, Array], learners: Sequence[str], sizes: Sequence[int]
) -> list[tuple[CellName, CellName, float, float]]:
    """A learner's cells of neighbouring sizes, their covariance over replicates, and their correlation."""
    found = []
    for learner in learners:
        for small, large in pairwise(sizes):
            first, second = (learner, small), (learner, large)
            if first in values and second in values:
                both = np.stack([values[first], values[second]])
                both = both[:, np.isfinite(both).all(axis=0)]
                both = both - both[:, :1]  # of ties exactly 0
                if both.shape[1] > 1 and (lengths := np.prod(both.std(axis=1))) > 0:
                    around = both - both.mean(axis=1, keepdims=True)
                    n = both.shape[1]
                    covariance = float(around[0] @ around[1]) / (n - 1)
                    found.append((first, second, covariance, covariance * (n - 1) / (n * float(lengths))))
    return found


def _n_far_below(cells: Sequence[tuple[int, Array]], slope: float) -> int:
    """How many values lie far below the others of their size, where variances fall with this slope."""
    if not cells:
        return 0
    gaps = np.concatenate([(usable - np.median(usable)) / n ** (slope / 2) for n, usable in cells])
    distances = np.abs(gaps[gaps != 0])
    return int((gaps < -FAILURE * np.median(distances)).sum()) if distances.size else 0


def bias(freedoms: Array) -> Array:
    """Of the log of a variance with so many degrees of freedom."""
    return psi(freedoms / 2) - np.log(freedoms / 2)


def trigamma_inverse(value: float) -> float:
    """Newton's iteration of Smyth (2004)."""
    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        y += trigamma * (1 - trigamma / value) / float(polygamma(2, y))
    return y
