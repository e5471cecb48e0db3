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

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from scipy.special import polygamma

from stages.evaluate.crossing import MOST_SHARED, Crossed, draw_share
from stages.evaluate.moderation import bias, failures, neighbours, trigamma_inverse
from stages.evaluate.sums import Array, CellName, Sums, Variance

LEAST_FOR_SCATTER = 8  # degrees of freedom, below which how variances scatter is not known and none is moderated
LEAST_STEPS = 8  # from which is seen how a draw's values go together from size to size
MOST_IN_COMMON = 0.5  # of the variances of two draws, one of which is half of the other
MOST_FREEDOM = 1000.0


class Spread:
    """Of a study's cells by one metric.

    values, shares, products: see `Sums`, higher is better; n_pool: rows that draws are cut from, infinite where they
    are fresh; crossed: by learner.
    """

    def __init__(
        self,
        values: Mapping[CellName, Array],
        n_pool: float,
        crossed: Mapping[str, Crossed] | None = None,
        shares: Mapping[CellName, Array] | None = None,
        products: Mapping[CellName, Array] | None = None,
    ):
        self.values, self.n_pool, self.crossed = values, n_pool, crossed or {}
        self._sums = Sums(values, shares or {}, products or {})
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
        seen = self._sums.seen(weights)
        if seen is None:
            return None
        draw, shared = self._draw_share(weights), self._shared(weights)
        total, freedom = seen.over_fresh(draw, min(shared, MOST_SHARED)), float(seen.degrees_of_freedom)
        family = self._family(weights, draw)
        if family:
            logs, freedoms, places = (np.array(of) for of in zip(*family, strict=True))
            own = np.log(max(n for _, n in weights))
            at_place = logs - self.slope * (places - own)
            others = places != own
            centre, worth = total, 0.0
            if others.any():
                weights_of_others = freedoms[others]
                around = (at_place - bias(freedoms))[others]
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
        # Both by the slope of all learners and by its own, so that none is called failing for another slope.
        return failures(self.values, lambda learner: (self.slope, self._slope_of(learner)))

    def _slope_of(self, learner: str) -> float:
        """Of one learner's log variances alone, 0 or below."""
        if learner not in self._lines:
            return self.slope
        top, bottom = self._moments(learner)
        return min(0.0, top / bottom) if bottom else self.slope

    @cached_property
    def _lines(self) -> dict[str, tuple[Array, Array, Array]]:
        """Of each learner log variances, their degrees of freedom and log sizes, up to MOST_SHARED of the pool."""
        lines = {}
        for learner in dict.fromkeys(name for name, _ in self.values):
            if self.sizes and (
                family := self._family({(learner, self.sizes[0]): 1.0}, self._draw_share({(learner, 0): 1.0}))
            ):
                lines[learner] = tuple(np.array(of) for of in zip(*family, strict=True))
        return lines  # type: ignore[return-value]

    @cached_property
    def slope(self) -> float:
        """Of log variance against log n, 0 or below."""
        moments = [self._moments(learner) for learner in self._lines]
        top, bottom = sum(of for of, _ in moments), sum(of for _, of in moments)
        return min(0.0, top / bottom) if bottom > 0 else 0.0

    def _moments(self, learner: str) -> tuple[float, float]:
        """Of a learner's log variances with log n, and of log n, around its mean."""
        logs, freedoms, places = self._lines[learner]
        x = places - np.average(places, weights=freedoms)
        return float((freedoms * x * logs).sum()), float((freedoms * x**2).sum())

    @cached_property
    def prior_freedom(self) -> float:
        """What the line is worth: from how log variances scatter around it, beyond their degrees of freedom."""
        squares, expected, n = 0.0, 0.0, -1
        for logs, freedoms, places in self._lines.values():
            around = logs - bias(freedoms) - self.slope * places
            squares += float(((around - around.mean()) ** 2).sum())
            n += len(logs) - 1
            expected += float(polygamma(1, freedoms / 2).mean()) * (len(logs) - 1)
        if n < LEAST_FOR_SCATTER:
            return 0.0
        excess = squares / n - expected / (n + 1)
        return min(MOST_FREEDOM, 2 * trigamma_inverse(excess)) if excess > 1e-3 else MOST_FREEDOM

    @cached_property
    def _neighbours(self) -> list[tuple[CellName, CellName, float, float]]:
        """See `neighbours`, of sizes up to MOST_SHARED of the pool."""
        return neighbours(self.values, list(self._lines), [n for n in self.sizes if n <= MOST_SHARED * self.n_pool])

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
        ratio = float(r @ e) / of_all
        error = float(np.sqrt((((r - ratio * e) * e) ** 2).sum())) / of_all
        return float(np.clip(ratio - error, 0, 1))

    def _family(self, weights: Mapping[CellName, float], draw: float) -> list[tuple[float, int, float]]:
        """The same sum at all sizes that share little: log variance over fresh draws, degrees of freedom, log size."""
        if any(n not in self.sizes for _, n in weights):
            return []
        places = {cell: self.sizes.index(cell[1]) for cell in weights}
        lowest, highest = min(places.values()), max(places.values())
        key = tuple((name, places[name, n] - lowest, weight) for (name, n), weight in weights.items())
        if key not in self._families:
            family = []
            for shift in range(-lowest, len(self.sizes) - highest):
                moved = {(name, self.sizes[place + shift]): weights[name, n] for (name, n), place in places.items()}
                seen, shared = self._sums.seen(moved), self._shared(moved)
                if seen is not None and seen.variance > 0 and shared <= MOST_SHARED:
                    log = np.log(seen.over_fresh(draw, shared))
                    family.append((float(log), seen.degrees_of_freedom, float(np.log(self.sizes[highest + shift]))))
            self._families[key] = family
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
            self._draw_shares[key] = draw_share(self.crossed, strongest, self.n_pool)
        return self._draw_shares[key]
