"""How much the value of a cell, or a difference of cells, would vary over fresh draws of rows and initialisations.

Three things make that more than a variance over replicates:

Few replicates. The variance of a cell is moderated by those of the same learner at the other sizes (Smyth 2004): their
log variances lie around a line in log n with one slope for all learners and a place for each; how widely they scatter,
beyond what their degrees of freedom explain, says how many degrees of freedom that line is worth.

Shared rows. Draws are cut from one pool. Two draws of n of its N rows have n / N of them in common, and so has the part
of a fit's value that comes from the draw. Over replicates one sees a share of 1 - n / N of that part, and a mean over
replicates keeps n / N of it for good. Initialisations share nothing. Where draws and initialisations were crossed, each
with each, the part of the draw is estimated from them, on the cautious side: a mean square of draws counts double and
one of initialisations half. Without that all of the spread counts as that of draws. Above half the pool the variance is
that of the line, continued.

Rare failures. Where a fit lies far below the learner's others, its cells' variances are not moderated downwards: none
is less than their plain mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma, psi

Array = NDArray[np.float64]
CellName = tuple[str, int]  # learner, n_train
MOST_SHARED = 0.5  # of the pool: above it a variance over replicates says too little of that over draws
CAUTION = 2.0  # by which the mean squares of a crossing are moved
LEAST_FOR_SCATTER = 8  # degrees of freedom, below which how variances scatter is not known and none is moderated
FAILURE = 8.0  # times the learner's usual distance from the median: what lies so far below is a failure
MOST_FREEDOM = 1000.0


@dataclass(frozen=True)
class Variance:
    """Of one fit over fresh draws and initialisations; draw: the share of it that comes from the draw of the rows."""

    total: float
    draw: float
    freedom: float
    shared: float  # rows that two draws have in common

    def of_mean(self, n_replicates: int) -> float:
        """Of the mean over so many replicates whose draws share rows."""
        kept = self.shared + (1 - self.shared) / n_replicates
        return self.total * (self.draw * kept + (1 - self.draw) / n_replicates)


class Spread:
    """Of a study's cells by one metric.

    values: (n_replicates,) of each cell, NaN where there is no usable fit, higher is better; n_pool: rows that draws
    are cut from, infinite where they are fresh; crossed: of a learner the size, and the values (k, k) of its first k
    draws, each with each of k initialisations.
    """

    def __init__(
        self, values: Mapping[CellName, Array], n_pool: float, crossed: Mapping[str, tuple[int, Array]] | None = None
    ):
        self.values, self.n_pool, self.crossed = values, n_pool, crossed or {}
        self.sizes = sorted({n for _, n in values})

    def of(self, weights: Mapping[CellName, float]) -> Variance | None:
        """Of the weighted sum of cells, paired by replicate; None where fewer than two replicates have all of it."""
        draw = self._draw_share(weights)
        own = self._observed(weights)
        if own is None:
            return None
        s2, freedom = own
        shared = self._shared(weights)
        largest = max(n for _, n in weights)
        family = self._family(weights, draw)
        is_own_telling = shared <= MOST_SHARED
        total = s2 / (draw * (1 - min(shared, MOST_SHARED)) + 1 - draw)
        if not family:
            return Variance(total, draw, freedom, shared)
        logs, freedoms, places = (np.array(of) for of in zip(*family, strict=True))
        at_place = logs - self.slope * (places - np.log(largest))
        centre = float(np.exp(np.average(at_place - _bias(freedoms), weights=freedoms)))
        worth = min(self.prior_freedom, freedoms.sum() / 2)  # nested draws: half of them are news
        if is_own_telling:
            if len(family) < 2:
                worth = 0.0
            moderated = (worth * centre + freedom * total) / (worth + freedom)
            freedom += worth
        else:
            moderated, freedom = centre, max(freedom, worth)
        if any(learner in self.failing for learner, _ in weights):
            moderated = max(moderated, float(np.exp(at_place).mean()))
        return Variance(moderated, draw, freedom, shared)

    @cached_property
    def failing(self) -> dict[str, tuple[int, int]]:
        """Learners of which some fits lie far below the others: how many, and of how many."""
        found = {}
        for learner in dict.fromkeys(name for name, _ in self.values):
            gaps = []
            for (name, n), values in self.values.items():
                usable = values[np.isfinite(values)]
                if name == learner and len(usable) >= 3:
                    gaps.append((usable - np.median(usable)) / np.exp(0.5 * self.slope * np.log(n)))
            if gaps and (distances := np.abs(all_ := np.concatenate(gaps))[all_ != 0]).size:
                n_failed = int((all_ < -FAILURE * np.median(distances)).sum())
                if n_failed:
                    found[learner] = (n_failed, len(all_))
        return found

    @cached_property
    def _lines(self) -> dict[str, tuple[Array, Array, Array]]:
        """Of each learner log variances, their degrees of freedom and log sizes, up to MOST_SHARED of the pool."""
        found = {}
        for learner in dict.fromkeys(name for name, _ in self.values):
            if family := self._family({(learner, self.sizes[0]): 1.0}, self._draw_share({(learner, 0): 1.0})):
                found[learner] = tuple(np.array(of) for of in zip(*family, strict=True))
        return found  # type: ignore[return-value]

    @cached_property
    def slope(self) -> float:
        """Of log variance against log n, 0 or below."""
        top = bottom = 0.0
        for logs, freedoms, places in self._lines.values():
            x = places - np.average(places, weights=freedoms)
            top += float((freedoms * x * logs).sum())
            bottom += float((freedoms * x**2).sum())
        return min(0.0, top / bottom) if bottom > 0 else 0.0

    @cached_property
    def prior_freedom(self) -> float:
        """What the line is worth: from how log variances scatter around it, beyond their degrees of freedom."""
        squares, expected, n = 0.0, 0.0, -1
        for logs, freedoms, places in self._lines.values():
            around = logs - _bias(freedoms) - self.slope * places
            squares += float(((around - around.mean()) ** 2).sum())
            n += len(logs) - 1
            expected += float(polygamma(1, freedoms / 2).mean()) * (len(logs) - 1)
        if n < LEAST_FOR_SCATTER:
            return 0.0
        excess = squares / n - expected / (n + 1)
        return min(MOST_FREEDOM, 2 * _trigamma_inverse(excess)) if excess > 1e-3 else MOST_FREEDOM

    def _observed(self, weights: Mapping[CellName, float]) -> tuple[float, int] | None:
        """Variance over replicates of the weighted sum, and its degrees of freedom."""
        if any(cell not in self.values for cell in weights):
            return None
        summed = sum(weight * self.values[cell] for cell, weight in weights.items())
        usable = np.asarray(summed)[np.isfinite(summed)]
        return (float(usable.var(ddof=1)), len(usable) - 1) if len(usable) >= 2 else None

    def _family(self, weights: Mapping[CellName, float], draw: float) -> list[tuple[float, int, float]]:
        """The same sum at all sizes that share little: log variance over fresh draws, degrees of freedom, log size."""
        places = {cell: self.sizes.index(cell[1]) for cell in weights}
        lowest, highest = min(places.values()), max(places.values())
        found = []
        for shift in range(-lowest, len(self.sizes) - highest):
            moved = {(name, self.sizes[place + shift]): weights[name, n] for (name, n), place in places.items()}
            seen, shared = self._observed(moved), self._shared(moved)
            if seen is not None and seen[0] > 0 and shared <= MOST_SHARED:
                log = np.log(seen[0] / (draw * (1 - shared) + 1 - draw))
                found.append((float(log), seen[1], float(np.log(self.sizes[highest + shift]))))
        return found

    def _shared(self, weights: Mapping[CellName, float]) -> float:
        return min(1.0, max(n for _, n in weights) / self.n_pool)

    def _draw_share(self, weights: Mapping[CellName, float]) -> float:
        """Which part of the variance of one fit comes from the draw, from the crossed fits; 1 without them."""
        strongest: dict[str, float] = {}
        for (learner, _), weight in weights.items():
            strongest[learner] = max(strongest.get(learner, 0.0), weight, key=abs)
        if any(learner not in self.crossed for learner in strongest):
            return 1.0
        squares = [weight * self.crossed[learner][1] for learner, weight in strongest.items()]
        shared = max(self.crossed[learner][0] for learner in strongest) / self.n_pool
        if len({of_learner.shape for of_learner in squares}) > 1:
            return 1.0
        square = np.sum(squares, axis=0)
        k = len(square)
        rows, columns = square.mean(axis=1), square.mean(axis=0)
        of_draws, of_inits = k * float(rows.var(ddof=1)), k * float(columns.var(ddof=1))
        residuals = square - rows[:, None] - columns[None] + square.mean()
        residual = float((residuals**2).sum()) / (k - 1) ** 2
        draw = max(0.0, (CAUTION * of_draws - residual) / k) / (1 - min(shared, MOST_SHARED))
        others = max(0.0, (of_inits / CAUTION - residual) / k) + residual
        return draw / (draw + others) if draw + others > 0 else 1.0


def _bias(freedoms: Array) -> Array:
    """Of the log of a variance with so many degrees of freedom."""
    return psi(freedoms / 2) - np.log(freedoms / 2)


def _trigamma_inverse(value: float) -> float:
    """Newton's iteration of Smyth (2004)."""
    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        y += trigamma * (1 - trigamma / value) / float(polygamma(2, y))
    return y
