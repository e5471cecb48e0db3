"""What travels together through `evaluate`: all cells by one metric, and the estimates and resamples they give."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.stats import chi2

from stages.evaluate.crossing import Crossed
from stages.evaluate.estimates import Estimate, Scores, estimate
from stages.evaluate.metrics import METRICS, Metric
from stages.evaluate.spread import Spread
from stages.evaluate.sums import Array, CellName


@dataclass(frozen=True)
class Study:
    """All cells by one metric, signed so that higher is better: one set of test rows, the same draws for every cell.

    networks: which learners are networks; smallest_gain: worth having, in units of the metric; n_pool: rows that draws
    are cut from, infinite where they are fresh; crossed: by learner; tuning: cells that are no part of the grid, with
    the rows that a learner was tuned on; n_resamples, seed: of `resamples`.
    """

    cells: Mapping[CellName, Scores]
    metric: Metric = METRICS["accuracy"]
    networks: frozenset[str] = frozenset()
    smallest_gain: float = 0.0
    n_pool: float = np.inf
    crossed: Mapping[str, Crossed] = field(default_factory=dict)
    tuning: Mapping[CellName, Scores] = field(default_factory=dict)
    n_resamples: int = 2000
    seed: int = 0

    @cached_property
    def learners(self) -> list[str]:
        return list(dict.fromkeys(learner for learner, _ in self.cells))

    @cached_property
    def sizes(self) -> list[int]:
        """Ascending."""
        return sorted({n for _, n in self.cells})

    @cached_property
    def spread(self) -> Spread:
        cells = {**self.cells, **self.tuning}
        values, shares = ({key: getattr(c, what) for key, c in cells.items()} for what in ("values", "shares"))
        return Spread(values, self.n_pool, self.crossed, shares)

    def cell(self, name: CellName) -> Scores | None:
        """Of the grid or of the tuning, None where there is none."""
        return self.cells.get(name, self.tuning.get(name))

    def estimate(self, weights: Mapping[CellName, float]) -> Estimate:
        """A weighted sum of cells, paired by replicate and by test row: {a: 1, b: -1} is how much a is above b.

        Replicates count in which every cell of the sum has a usable fit.
        """
        cells = {name: self.cells[name] if name in self.cells else self.tuning[name] for name in weights}
        usable = np.logical_and.reduce([cell.is_usable for cell in cells.values()])
        values = np.asarray(sum(weight * cells[name].values[usable] for name, weight in weights.items()))
        shares = np.asarray(sum(weight * cells[name].shares[usable] for name, weight in weights.items()))
        variance = self.spread.of(weights)
        if variance is None:
            return estimate(values, shares)
        return estimate(values, shares, variance.of_mean(len(values)), variance.degrees_of_freedom)

    def is_known(self, name: CellName) -> bool:
        """Whether the cell has a variance: two usable replicates, and draws that do not share nearly all their rows."""
        variance = self.spread.of({name: 1.0})
        return variance is not None and np.isfinite(variance.total)

    def means(self) -> dict[CellName, float]:
        """Cells with at least one usable replicate."""
        return {name: float(np.nanmean(cell.values)) for name, cell in self.cells.items() if cell.is_usable.any()}

    @cached_property
    def resamples(self) -> dict[CellName, Array]:
        """What the cells' means might have been, (n_resamples,) each; resample i is one draw for all cells together.

        Replicates: Student's t, each cell with its own variance and degrees of freedom, correlated as the replicates'
        deviations are, through random weights of them. Test rows: normal, with the covariance of the cells. Cells with
        fewer than two usable replicates are left out.
        """
        names = [name for name in self.cells if self.is_known(name)]
        if not names:
            return {}
        rng = np.random.default_rng(self.seed)
        values = np.stack([self.cells[name].values for name in names])  # (n_cells, n_replicates)
        means = np.nanmean(values, axis=1)
        deviations = np.nan_to_num(values - means[:, None])
        lengths = np.sqrt((deviations**2).sum(axis=1, keepdims=True))
        estimates = [self.estimate({name: 1}) for name in names]
        weights = rng.normal(size=(self.n_resamples, values.shape[1]))
        normal = weights @ (deviations / np.where(lengths > 0, lengths, 1)).T  # (n_resamples, n_cells)
        luck = rng.random(self.n_resamples)  # how small the variances came out, for all cells alike
        for i, e in enumerate(estimates):
            freedom = max(1.0, e.replicate_degrees_of_freedom)
            normal[:, i] *= np.sqrt(e.replicate_variance * freedom / chi2.ppf(luck, freedom))
        noise = rng.normal(size=(self.n_resamples, len(names))) @ _root(self.test_covariance(names)).T
        drawn = means + normal + noise
        return {name: drawn[:, i] for i, name in enumerate(names)}

    def test_covariance(self, names: list[CellName]) -> Array:
        """(n_cells, n_cells): of the cells' means over test sets, less what replicates count already."""
        usable = np.stack([self.cells[name].is_usable for name in names]).astype(np.float64)
        counts = usable.sum(axis=1)
        shares = np.stack([self.cells[name].shares for name in names])  # (n_cells, n_replicates, n_groups)
        of_means = shares.sum(axis=1) / counts[:, None]
        n_groups = of_means.shape[1]
        interaction = np.zeros((len(names), len(names)))
        for replicate in range(shares.shape[1]):
            residuals = (shares[:, replicate] - of_means) * usable[:, replicate, None]
            interaction += residuals @ residuals.T
        common, of_both = usable @ usable.T, np.outer(counts, counts)
        # How many residuals' products are worth: one less than the replicates where both cells have the same ones.
        worth = common * (1 - 1 / counts[:, None] - 1 / counts + common / of_both)
        counted = np.divide(interaction, worth, out=np.zeros_like(worth), where=worth > 0) * common / of_both
        return n_groups / max(1, n_groups - 1) * of_means @ of_means.T - counted


def _root(covariance: Array) -> Array:
    """A matrix whose product with its transpose is the covariance, negative eigenvalues taken as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))
