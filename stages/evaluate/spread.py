"""How much the value of a cell, or a difference of cells, would vary over fresh draws of rows and initialisations.

Four things make that more than a variance over replicates:

Few replicates. The variance of a cell is moderated by those of the same learner at the other sizes (Smyth 2004): their
log variances lie around a line in log n with one slope for all learners and a place for each; how widely they scatter,
beyond what their degrees of freedom explain, says how many degrees of freedom that line is worth. Draws are nested: how
far a draw's values go together from size to size says how much of these variances is news.

Test rows. Fits differ in which test rows they get right even where they are equally good. That interaction is known
from the rows themselves; no rows that draws share keep it from averaging out.

Shared rows. Draws are cut from one pool. Two draws of n of its N rows have n / N of them in common, and so has the part
of a fit's true value that comes from the draw. Over replicates one sees a share of 1 - n / N of that part, and a mean
over replicates keeps n / N of it for good. Initialisations share nothing. Where draws and initialisations were crossed,
each with each, the part of the draw is estimated from them, on the cautious side: a mean square of draws counts double
and one of initialisations half. Without that all of it counts as that of draws. Above half the pool the variance is
that of the line, continued. A step of one learner keeps less, since what the pool's rows do to it they do at both
sizes, as far as they do the same at every size: that is seen in how a draw's values go together from size to size.

Rare failures. Where a fit lies far below the learner's others, its cells' variances are not moderated downwards: none
is less than their plain mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma, psi

Array = NDArray[np.float64]
CellName = tuple[str, int]  # learner, n_train
MOST_SHARED = 0.5  # of the pool: above it a variance over replicates says too little of that over draws
BESIDE_INTERACTION = 0.75  # standard errors of the total that are added to what is not interaction
CAUTION = 2.0  # by which the mean squares of a crossing are moved
LEAST_FOR_SCATTER = 8  # degrees of freedom, below which how variances scatter is not known and none is moderated
LEAST_STEPS = 8  # from which is seen how a draw's values go together from size to size
MOST_IN_COMMON = 0.5  # of the variances of two draws, one of which is half of the other
FAILURE = 8.0  # times the learner's usual distance from the median: what lies so far below is a failure
MOST_FREEDOM = 1000.0


class Crossed(NamedTuple):
    """Values (k, k) of k draws, each with each of k initialisations, and the shares (k, k, n_groups) of test rows, or
    of these the mean squares of draws, of initialisations and of the rest alone."""

    n_train: int
    values: Array
    shares: Array
    of_rows: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Variance:
    """Of one fit over fresh draws and initialisations.

    draw: the share that comes from the draw of the rows, of what is not the interaction with test rows; shared: what
    two draws have in common of it.
    """

    total: float
    interaction: float
    draw: float
    freedom: float
    shared: float

    def of_mean(self, n_replicates: int) -> float:
        """Of the mean over so many replicates whose draws share rows."""
        kept = self.shared + (1 - self.shared) / n_replicates
        # The interaction is known, so all that errs in the total errs in the rest of it.
        cautious = self.total - self.interaction + BESIDE_INTERACTION * self.total * np.sqrt(2 / self.freedom)
        of_draws = self.draw * min(self.total, cautious)
        return of_draws * kept + (self.total - of_draws) / n_replicates


@dataclass(frozen=True)
class _Seen:
    """A weighted sum of cells over the replicates that have all of it."""

    variance: float
    interaction: float
    freedom: int


class Spread:
    """Of a study's cells by one metric.

    values: (n_replicates,) of each cell, NaN where there is no usable fit, higher is better; shares: (n_replicates,
    n_groups) of test rows, or where cells are looked at one by one their inner products (n_replicates, n_replicates),
    as `products`; without either the interaction counts as part of the fits' values; n_pool: rows that draws are cut
    from, infinite where they are fresh; crossed: by learner.
    """

    def __init__(
        self,
        values: Mapping[CellName, Array],
        n_pool: float,
        crossed: Mapping[str, Crossed] | None = None,
        shares: Mapping[CellName, Array] | None = None,
        products: Mapping[CellName, Array] | None = None,
    ):
        self.products = products or {}
        self.values, self.n_pool, self.crossed, self.shares = values, n_pool, crossed or {}, shares or {}
        self._place = {cell: i for i, cell in enumerate(values)}
        self._stacked = np.stack(list(values.values())) if values else np.empty((0, 0))
        self._families: dict[tuple[tuple[str, int, float], ...], list[tuple[float, int, float]]] = {}
        self._draw_shares: dict[tuple[tuple[str, float], ...], float] = {}
        self._variances: dict[tuple[tuple[CellName, float], ...], Variance | None] = {}
        learners = [name for name, _ in values]
        self.sizes = sorted({n for name, n in values if learners.count(name) > 1})  # of curves, not of single cells

    def of(self, weights: Mapping[CellName, float]) -> Variance | None:
        """Of the weighted sum of cells, paired by replicate; None where fewer than two replicates have all of it.

        Its total is NaN where it cannot be known: above MOST_SHARED of the pool without a size below.
        """
        key = tuple(weights.items())
        if key not in self._variances:
            self._variances[key] = self._of(weights)
        return self._variances[key]

    def _of(self, weights: Mapping[CellName, float]) -> Variance | None:
        seen = self._seen(weights)
        if seen is None:
            return None
        draw, shared = self._draw_share(weights), self._shared(weights)
        total, freedom = _over_fresh(seen, draw, min(shared, MOST_SHARED)), float(seen.freedom)
        family = self._family(weights, draw)
        if family:
            logs, freedoms, places = (np.array(of) for of in zip(*family, strict=True))
            own = np.log(max(n for _, n in weights))
            at_place = logs - self.slope * (places - own)
            others = places != own
            centre, worth = total, 0.0
            if others.any():
                weights_of_others = freedoms[others]
                around = (at_place - _bias(freedoms))[others]
                centre = float(np.exp((around * weights_of_others).sum() / weights_of_others.sum()))
                worth = self._worth(weights_of_others)
            if shared > MOST_SHARED:
                total, freedom = centre, max(1.0, worth) if self.prior_freedom else freedom
            else:
                total = (worth * centre + freedom * total) / (worth + freedom)
                freedom += worth
            if any(learner in self.failing for learner, _ in weights):
                total = max(total, float(np.exp(at_place).mean()))
        elif shared > MOST_SHARED and not any(n <= MOST_SHARED * self.n_pool for n in self.sizes):
            total = np.nan
        return Variance(total, min(seen.interaction, total), draw, freedom, shared)

    @cached_property
    def failing(self) -> dict[str, tuple[int, int]]:
        """Learners of which some fits lie far below the others: how many, and of how many."""
        found = {}
        for learner in dict.fromkeys(name for name, _ in self.values):
            cells = [(n, values[np.isfinite(values)]) for (name, n), values in self.values.items() if name == learner]
            cells = [(n, usable) for n, usable in cells if len(usable) >= 3]
            # Both by the slope of all learners and by its own, so that none is called failing for another slope.
            n_failed = min((_n_far_below(cells, slope) for slope in (self.slope, self._slope_of(learner))), default=0)
            if n_failed:
                found[learner] = (n_failed, sum(len(usable) for _, usable in cells))
        return found

    def _slope_of(self, learner: str) -> float:
        """Of one learner's log variances alone, 0 or below."""
        if learner not in self._lines:
            return self.slope
        logs, freedoms, places = self._lines[learner]
        x = places - np.average(places, weights=freedoms)
        return min(0.0, float((freedoms * x * logs).sum() / (freedoms * x**2).sum())) if x.any() else self.slope

    @cached_property
    def _lines(self) -> dict[str, tuple[Array, Array, Array]]:
        """Of each learner log variances, their degrees of freedom and log sizes, up to MOST_SHARED of the pool."""
        found = {}
        for learner in dict.fromkeys(name for name, _ in self.values):
            if self.sizes and (
                family := self._family({(learner, self.sizes[0]): 1.0}, self._draw_share({(learner, 0): 1.0}))
            ):
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

    @cached_property
    def _neighbours(self) -> list[tuple[CellName, CellName, float, float]]:
        """A learner's cells of neighbouring sizes, their covariance over replicates, and their correlation."""
        found = []
        for learner in self._lines:
            for small, large in pairwise(n for n in self.sizes if n <= MOST_SHARED * self.n_pool):
                first, second = (learner, small), (learner, large)
                if first in self.values and second in self.values:
                    both = np.stack([self.values[first], self.values[second]])
                    both = both[:, np.isfinite(both).all(axis=0)]
                    both = both - both[:, :1]  # of ties exactly 0
                    if both.shape[1] > 1 and (lengths := np.prod(both.std(axis=1))) > 0:
                        around = both - both.mean(axis=1, keepdims=True)
                        n = both.shape[1]
                        covariance = float(around[0] @ around[1]) / (n - 1)
                        found.append((first, second, covariance, covariance * (n - 1) / (n * float(lengths))))
        return found

    @cached_property
    def _in_common(self) -> float:
        """Of a variance at one size how much stands in that at the next: their squared correlation, on the safe side.

        Draws are nested, so it is a half where all that varies is the mean of a draw's rows.
        """
        correlations = np.array([of_two for *_, of_two in self._neighbours])
        if len(correlations) < LEAST_STEPS:
            return MOST_IN_COMMON
        likely = correlations.mean() + correlations.std(ddof=1) / np.sqrt(len(correlations))
        return float(np.clip(likely, 0, np.sqrt(MOST_IN_COMMON))) ** 2

    def _worth(self, freedoms: Array) -> float:
        """The degrees of freedom of a line through so many variances."""
        return min(self.prior_freedom, float(freedoms.sum()) * self._news[len(freedoms) - 1])

    @cached_property
    def _news(self) -> Array:
        """Of 1, 2, ... variances at neighbouring sizes the share that is news."""
        of_gap = self._in_common ** np.arange(len(self.sizes))
        pairs = np.cumsum(2 * np.cumsum(of_gap) - 1)  # sums of all correlations among so many
        return np.arange(1, len(self.sizes) + 1) / pairs

    @cached_property
    def alike(self) -> float:
        """How far rows do the same at every size: correlation of a row's effects at neighbouring sizes, in [0, 1].

        Least squares, over learners and steps, of the covariance over nested draws on what it were if they did, less
        one standard error.
        """
        seen, expected = [], []
        for first, second, covariance, _ in self._neighbours:
            draw = self._draw_share({first: 1.0})
            variances = [variance for cell in (first, second) if (variance := self.of({cell: 1.0}))]
            parts = [draw * (variance.total - variance.interaction) for variance in variances]
            scale = float(np.sqrt(np.prod([variance.total for variance in variances])))
            if len(parts) == 2 and scale > 0:
                in_common = np.sqrt(first[1] / second[1]) * (1 - second[1] / self.n_pool)
                seen.append(covariance / scale)
                expected.append(float(np.sqrt(parts[0] * parts[1])) * in_common / scale)
        if len(seen) < LEAST_STEPS or not (of_all := float(np.square(expected).sum())):
            return 0.0
        r, e = np.array(seen), np.array(expected)
        found = float(r @ e) / of_all
        error = float(np.sqrt((((r - found * e) * e) ** 2).sum())) / of_all
        return float(np.clip(found - error, 0, 1))

    def _seen(self, weights: Mapping[CellName, float]) -> _Seen | None:
        """Over the replicates that have all of the sum; None where these are fewer than two."""
        if any(cell not in self._place for cell in weights):
            return None
        at, of_cells = [self._place[cell] for cell in weights], np.array(list(weights.values()), dtype=np.float64)
        summed = of_cells @ self._stacked[at]
        is_usable = np.isfinite(summed)
        if (n := int(np.count_nonzero(is_usable))) < 2:
            return None
        usable = summed[is_usable] - summed[is_usable][0]  # of ties exactly 0
        around = usable - usable.sum() / n
        interaction = 0.0
        if self.products and len(at) == 1:
            products = of_cells[0] ** 2 * self.products[next(iter(weights))][np.ix_(is_usable, is_usable)]
            interaction = max(0.0, float(np.trace(products)) - float(products.sum()) / n) / (n - 1)
        elif self.shares:
            pairs = self._products[at][:, at].reshape(len(at) ** 2, -1)
            products = (np.outer(of_cells, of_cells).ravel() @ pairs).reshape(len(summed), len(summed))
            if n < len(summed):
                products = products[is_usable][:, is_usable]
            interaction = max(0.0, float(np.trace(products)) - float(products.sum()) / n) / (n - 1)
        return _Seen(float(around @ around) / (n - 1), interaction, n - 1)

    @cached_property
    def _products(self) -> Array:
        """Inner products of shares, (n_cells, n_cells, n_replicates, n_replicates)."""
        shares = np.stack([self.shares[cell] for cell in self._place])  # (n_cells, n_replicates, n_groups)
        n_cells, n_replicates, n_groups = shares.shape
        flat = shares.reshape(n_cells * n_replicates, n_groups)
        return np.ascontiguousarray(
            (flat @ flat.T).reshape(n_cells, n_replicates, n_cells, n_replicates).swapaxes(1, 2)
        )

    def _family(self, weights: Mapping[CellName, float], draw: float) -> list[tuple[float, int, float]]:
        """The same sum at all sizes that share little: log variance over fresh draws, degrees of freedom, log size."""
        if any(n not in self.sizes for _, n in weights):
            return []
        places = {cell: self.sizes.index(cell[1]) for cell in weights}
        lowest, highest = min(places.values()), max(places.values())
        key = tuple((name, places[name, n] - lowest, weight) for (name, n), weight in weights.items())
        if key not in self._families:
            found = []
            for shift in range(-lowest, len(self.sizes) - highest):
                moved = {(name, self.sizes[place + shift]): weights[name, n] for (name, n), place in places.items()}
                seen, shared = self._seen(moved), self._shared(moved)
                if seen is not None and seen.variance > 0 and shared <= MOST_SHARED:
                    log = np.log(_over_fresh(seen, draw, shared))
                    found.append((float(log), seen.freedom, float(np.log(self.sizes[highest + shift]))))
            self._families[key] = found
        return self._families[key]

    def _shared(self, weights: Mapping[CellName, float]) -> float:
        """What two draws have in common of the part of the sum that comes from the draw."""
        largest = max(n for _, n in weights)
        shared = min(1.0, largest / self.n_pool)
        if len(weights) != 2 or shared == 0:
            return shared
        (first, n), (second, other) = weights
        if first != second or weights[first, n] != -weights[second, other]:
            return shared
        # An effect of one row is a at a size; a square times 1 / n is the draw's variance, which falls with the slope.
        step = largest / min(n, other)
        square, alike = step ** -(1 + self.slope), self.alike
        together = 2 * alike * np.sqrt(square)
        return shared * float((square + 1 - together) / (square * step + 1 - together))

    def _draw_share(self, weights: Mapping[CellName, float]) -> float:
        """Which part of the variance of one fit comes from the draw, from the crossed fits; 1 without them."""
        strongest: dict[str, float] = {}
        for (learner, _), weight in weights.items():
            strongest[learner] = max(strongest.get(learner, 0.0), weight, key=abs)
        key = tuple(strongest.items())
        if key not in self._draw_shares:
            self._draw_shares[key] = self._crossed_share(strongest)
        return self._draw_shares[key]

    def _crossed_share(self, strongest: Mapping[str, float]) -> float:
        """Of the sum of learners with these weights, the interaction with test rows left out."""
        if any(learner not in self.crossed for learner in strongest):
            return 1.0
        squares = [self.crossed[learner] for learner in strongest]
        if len({square.values.shape for square in squares}) > 1:
            return 1.0
        k = len(squares[0].values)
        weights = list(strongest.values())
        of_draws, of_inits, residual = mean_squares(
            sum(w * square.values for w, square in zip(weights, squares, strict=True))[..., None]  # type: ignore[index]
        )
        if squares[0].shares.shape[2]:
            rows = mean_squares(np.asarray(sum(w * square.shares for w, square in zip(weights, squares, strict=True))))
        else:
            rows = squares[0].of_rows if len(squares) == 1 else (0.0, 0.0, 0.0)
        residual = max(0.0, residual - rows[2])
        shared = max(square.n_train for square in squares) / self.n_pool
        draw = max(0.0, (CAUTION * of_draws - rows[0] - residual) / k) / (1 - min(shared, MOST_SHARED))
        others = max(0.0, (of_inits / CAUTION - rows[1] - residual) / k) + residual
        return draw / (draw + others) if draw + others > 0 else 1.0


def _n_far_below(cells: Sequence[tuple[int, Array]], slope: float) -> int:
    """How many values lie far below the others of their size, where variances fall with this slope."""
    if not cells:
        return 0
    gaps = np.concatenate([(usable - np.median(usable)) / n ** (slope / 2) for n, usable in cells])
    distances = np.abs(gaps[gaps != 0])
    return int((gaps < -FAILURE * np.median(distances)).sum()) if distances.size else 0


def _over_fresh(seen: _Seen, draw: float, shared: float) -> float:
    """The variance over fresh draws, of which the part that draws have in common is not seen."""
    hidden = 1 / (draw * (1 - shared) + 1 - draw) - 1
    return seen.variance + hidden * max(0.0, seen.variance - seen.interaction)


def mean_squares(square: Array) -> tuple[float, float, float]:
    """Of draws, initialisations and the rest, square: (k, k, n), summed over the last axis."""
    k = len(square)
    draws, inits, mean = square.mean(axis=1), square.mean(axis=0), square.mean(axis=(0, 1))
    residuals = square - draws[:, None] - inits[None] + mean
    return (
        k * float(((draws - mean) ** 2).sum()) / (k - 1),
        k * float(((inits - mean) ** 2).sum()) / (k - 1),
        float((residuals**2).sum()) / (k - 1) ** 2,
    )


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
