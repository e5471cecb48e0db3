"""Means over replicates and test rows, their variance, and what follows from it: intervals and tests.

Two things vary: the replicate (its draw of rows and its initialisation) and the test rows, which all replicates share.
With a value m_r of R replicates on the same test set, the variance over r is that of replicates and of their
interaction with the rows; the variance of the mean influence over rows is that of the test set and, again, 1 / R of
the interaction. So Var(mean) = s2_replicates / R + max(0, s2_rows - s2_interaction / R): nothing counts twice. What the
first part is where draws share rows, and how many degrees of freedom it has, is `spread`'s.

Quantiles of such a sum, one part of it with few degrees of freedom: Student's with Satterthwaite's (1946) degrees of
freedom cover too little with few replicates (nominal 95 %: .925 to .95 with 3), Cochran's (1964) mean of the parts'
quantiles, weighted by variance, covers too much (.95 to .97). Their mean is taken (.94 to .96); where one part vanishes
the two agree and are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit

from stages.evaluate.sums import Array

MAX_DEVIATE = 8.0  # normal deviates beyond are p values of 0
K = TypeVar("K")


@dataclass(frozen=True)
class Scores:
    """A cell measured by one metric.

    values: (n_replicates,), NaN for a replicate without a usable fit. shares: (n_replicates, n_groups): what each group
    of test rows adds to the value beside the mean, summed over its rows and divided by n_test; zero where NaN.
    """

    values: Array
    shares: Array

    @classmethod
    def of(cls, values: Array, influences: Array, groups: NDArray[np.int64] | None) -> "Scores":
        """groups: (n_test,) numbers from 0 of the groups that rows come in, None where rows come alone."""
        shares = influences / influences.shape[1]
        if groups is not None:
            n_groups = int(groups.max()) + 1
            shares = np.stack([np.bincount(groups, share, n_groups) for share in shares])
        return cls(values, np.where(np.isfinite(values)[:, None], shares, 0))

    def padded(self, n_replicates: int) -> "Scores":
        """With so many replicates: those that other sizes have and this one has not count as not usable."""
        more = n_replicates - len(self.values)
        return Scores(np.pad(self.values, (0, more), constant_values=np.nan), np.pad(self.shares, ((0, more), (0, 0))))

    @property
    def is_usable(self) -> NDArray[np.bool_]:
        """(n_replicates,): which replicates have a value."""
        return np.isfinite(self.values)


@dataclass(frozen=True)
class Estimate:
    """A mean with the two parts of its variance; NaN where it cannot be known."""

    mean: float
    n_replicates: int
    replicate_variance: float  # variance of the mean that comes from replicates
    test_variance: float  # ... from the test rows, n_groups - 1 degrees of freedom
    n_groups: int
    replicate_degrees_of_freedom: float

    @property
    def standard_error(self) -> float:
        """Standard error of the mean."""
        return float(np.sqrt(self.replicate_variance + self.test_variance))

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's degrees of freedom."""
        of_replicates, of_test_rows = self._freedoms
        parts = self.replicate_variance**2 / of_replicates + self.test_variance**2 / of_test_rows
        return (self.replicate_variance + self.test_variance) ** 2 / parts if parts > 0 else np.inf

    @property
    def _freedoms(self) -> tuple[float, float]:
        return max(1.0, self.replicate_degrees_of_freedom), max(1.0, self.n_groups - 1)

    @cached_property
    def _mixture(self) -> tuple[Array, Array]:
        """Degrees of freedom (3,) of Student's quantiles and their weights: Satterthwaite's, and those of the parts."""
        parts = np.array([self.replicate_variance, self.test_variance])
        return np.array([self.degrees_of_freedom, *self._freedoms]), np.append(1.0, parts / parts.sum()) / 2

    def quantile(self, tail: float) -> float:
        """How many standard errors above the mean a probability of `tail` is left."""
        if self.standard_error == 0:
            return 0.0
        freedoms, weights = self._mixture
        return -float(weights @ stdtrit(freedoms, tail))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided, of the mean."""
        half = self.standard_error * self.quantile((1 - confidence) / 2)
        return self.mean - half, self.mean + half

    def p_above(self, threshold: float) -> float:
        """One-sided p value of the hypothesis that the true mean is at most `threshold`; NaN counts as no evidence."""
        return self._p(self.mean - threshold)

    def p_below(self, threshold: float) -> float:
        """One-sided p value of the hypothesis that the true mean is at least `threshold`."""
        return self._p(threshold - self.mean)

    def _p(self, distance: float) -> float:
        if not np.isfinite(distance) or not np.isfinite(self.standard_error):
            return 1.0
        if self.standard_error == 0:
            return 0.0 if distance > 0 else 1.0
        t = distance / self.standard_error
        if abs(t) >= self.quantile(float(ndtr(-MAX_DEVIATE))):
            return 0.0 if t > 0 else 1.0
        # Quantiles are never below the normal ones, so the p value is that of a normal deviate between 0 and t.
        z = brentq(lambda z: self.quantile(float(ndtr(-z))) - abs(t), 0, MAX_DEVIATE)
        return float(ndtr(-np.copysign(z, t)))


def estimate(
    values: Array, shares: Array, replicate_variance: float | None = None, freedom: float | None = None
) -> Estimate:
    """The mean of usable replicates.

    values: (R,), shares: (R, n_groups) as in Scores; replicate_variance: that of the mean that comes from replicates,
    with so many degrees of freedom, else that of independent ones. With one replicate it is unknown, NaN.
    """
    n_replicates, n_groups = shares.shape
    if n_replicates == 0:
        return Estimate(np.nan, 0, np.nan, np.nan, n_groups, 0)
    of_mean = shares.mean(axis=0)
    of_rows = n_groups / max(1, n_groups - 1) * float(of_mean @ of_mean)
    if n_replicates == 1:
        return Estimate(float(values[0]), 1, np.nan, of_rows, n_groups, 0)
    if replicate_variance is None or freedom is None:
        replicate_variance, freedom = float(values.var(ddof=1)) / n_replicates, n_replicates - 1
    interaction = float(((shares - of_mean) ** 2).sum()) / (n_replicates - 1)
    test_variance = max(0.0, of_rows - interaction / n_replicates)
    return Estimate(float(values.mean()), n_replicates, replicate_variance, test_variance, n_groups, freedom)


@dataclass(frozen=True)
class Split:
    """Variance of one fit's value by where it comes from; sums to the variance of a single measurement."""

    draw: float
    initialisation: float
    residual: float  # draw and initialisation together, and their interaction with the test rows
    test: float


def _square(draws: NDArray[np.int64], inits: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k, k): which fit has this draw and this initialisation, for the largest k of which all are there."""
    places = {(int(d), int(i)): fit for fit, (d, i) in enumerate(zip(draws, inits, strict=True))}
    k = 0
    while all((d, k) in places and (k, d) in places for d in range(k + 1)):
        k += 1
    return np.array([[places[d, i] for i in range(k)] for d in range(k)], dtype=np.int64).reshape(k, k)


def square_of(
    values: Array, shares: Array, draws: NDArray[np.int64], inits: NDArray[np.int64]
) -> tuple[Array, Array] | None:
    """The values (k, k) and shares (k, k, n_groups) of k draws crossed with k initialisations.

    None where k < 2 or a fit is not usable.
    """
    square = _square(draws, inits)
    if len(square) < 2 or not np.isfinite(values[square]).all():
        return None
    return values[square], shares[square]


def variance_split(values: Array, shares: Array, draws: NDArray[np.int64], inits: NDArray[np.int64]) -> Split | None:
    """Two-way analysis of variance of crossed draws and initialisations, random effects (Searle et al. 1992, ch. 4).

    values: (n_fits,), shares: (n_fits, n_groups); draws, inits: (n_fits,) which of each a fit has. The complete square
    of 0 .. k-1 counts; None where a fit of it is missing or not usable, or k < 2. Negative components are taken as 0.
    """
    if (of_square := square_of(values, shares, draws, inits)) is None:
        return None
    m = of_square[0]
    square = _square(draws, inits)
    k = len(m)
    rows, columns = m.mean(axis=1), m.mean(axis=0)
    residuals = m - rows[:, None] - columns[None] + m.mean()
    mean_square = float((residuals**2).sum()) / (k - 1) ** 2
    draw = max(0.0, float(rows.var(ddof=1)) - mean_square / k)
    initialisation = max(0.0, float(columns.var(ddof=1)) - mean_square / k)
    flat = square.ravel()
    return Split(draw, initialisation, mean_square, estimate(values[flat], shares[flat]).test_variance)


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Adjusted p values (Holm 1979): rejecting those at most alpha errs with probability alpha at most, in any."""
    order = sorted(p_values, key=lambda key: p_values[key])
    adjusted: dict[K, float] = {}
    running = 0.0
    for rank, key in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[key]))
        adjusted[key] = running
    return adjusted
