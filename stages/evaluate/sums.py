"""Weighted sums of cells over replicates: how they vary, and how much of that is interaction with the test rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CellName = tuple[str, int]  # learner, n_train
BESIDE_INTERACTION = 0.75  # standard errors of the total that are added to what is not interaction


@dataclass(frozen=True)
class Variance:
    """Of one fit over fresh draws and initialisations.

    draw: the share that comes from the draw of the rows, of what is not the interaction with test rows; shared: what
    two draws have in common of it.
    """

    total: float
    interaction: float
    draw: float
    degrees_of_freedom: float
    shared: float

    def of_mean(self, n_replicates: int) -> float:
        """Of the mean over so many replicates whose draws share rows."""
        kept = self.shared + (1 - self.shared) / n_replicates
        # The interaction is known, so all that errs in the total errs in the rest of it.
        error = self.total * np.sqrt(2 / self.degrees_of_freedom)
        of_draws = self.draw * min(self.total, self.total - self.interaction + BESIDE_INTERACTION * error)
        return of_draws * kept + (self.total - of_draws) / n_replicates


@dataclass(frozen=True)
class Seen:
    """A weighted sum of cells over the replicates that have all of it."""

    variance: float
    interaction: float
    degrees_of_freedom: int

    def over_fresh(self, draw: float, shared: float) -> float:
        """The variance over fresh draws, of which the part that draws have in common is not seen.

        draw: the share of the variance that comes from the draw; shared: what two draws have in common of that.
        """
        hidden = 1 / (draw * (1 - shared) + 1 - draw) - 1
        return self.variance + hidden * max(0.0, self.variance - self.interaction)


class Sums:
    """values: (n_replicates,) of each cell, NaN where there is no usable fit; shares: (n_replicates, n_groups) of test
    rows of each cell; products: their inner products (n_replicates, n_replicates), where cells are summed up alone;
    without either the interaction counts as part of the fits' values."""

    def __init__(
        self, values: Mapping[CellName, Array], shares: Mapping[CellName, Array], products: Mapping[CellName, Array]
    ):
        self.values, self.shares, self.products = values, shares, products
        self._place = {cell: i for i, cell in enumerate(values)}
        self._stacked = np.stack(list(values.values())) if values else np.empty((0, 0))

    def seen(self, weights: Mapping[CellName, float]) -> Seen | None:
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
        products = self._products_of(next(iter(weights)), at, of_cells)
        interaction = 0.0
        if products is not None:
            products = products if n == len(summed) else products[is_usable][:, is_usable]
            interaction = max(0.0, float(np.trace(products)) - float(products.sum()) / n) / (n - 1)
        return Seen(float(around @ around) / (n - 1), interaction, n - 1)

    def _products_of(self, first: CellName, at: list[int], of_cells: Array) -> Array | None:
        """Inner products of the shares of the sum, (n_replicates, n_replicates); None where they are not known."""
        if self.products and len(at) == 1:
            return np.asarray(of_cells[0] ** 2 * self.products[first])
        if not self.shares:
            return None
        n_replicates = self._stacked.shape[1]
        pairs = self._all_products[at][:, at].reshape(len(at) ** 2, -1)
        return (np.outer(of_cells, of_cells).ravel() @ pairs).reshape(n_replicates, n_replicates)

    @cached_property
    def _all_products(self) -> Array:
        """Inner products of shares, (n_cells, n_cells, n_replicates, n_replicates)."""
        shares = np.stack([self.shares[cell] for cell in self._place])  # (n_cells, n_replicates, n_groups)
        n_cells, n_replicates, n_groups = shares.shape
        flat = shares.reshape(n_cells * n_replicates, n_groups)
        return np.ascontiguousarray(
            (flat @ flat.T).reshape(n_cells, n_replicates, n_cells, n_replicates).swapaxes(1, 2)
        )
