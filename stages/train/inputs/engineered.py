"""What a practitioner adds by hand to a table's columns before a linear learner, fitted on the rows of one fit.

Every number also as cubic splines between quantiles; every pair of the most telling columns crossed, that is an
indicator for each combination of their values, numbers in bins of equally many rows.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.common.features import Features
from stages.train.inputs.categories import RARE
from stages.train.inputs.columns import Table
from stages.train.inputs.forms import Encoder, Inputs, no_numbers, no_places

N_KNOTS = 8  # of each number's splines
N_BINS = 8  # of a number before it is crossed
N_CROSSED = 12  # columns that are crossed with one another: those that tell most about the class


class Crossed(Encoder):
    """Splines and crossings beside the raw inputs of a table."""

    def __init__(self, features: Features, labels: NDArray[np.int64]):
        self.raw = Table(features)
        numbers = self._filled(features)
        varied = [i for i in range(numbers.shape[1]) if len(np.unique(numbers[:, i])) > N_KNOTS]
        self.splined = np.array(varied, np.intp)
        from sklearn.preprocessing import SplineTransformer  # costs what raw features need not pay

        self.splines = SplineTransformer(
            n_knots=N_KNOTS, degree=3, knots="quantile", extrapolation="linear", sparse_output=True
        )
        if varied:
            self.splines.fit(numbers[:, self.splined])
        inner = np.linspace(0, 1, N_BINS + 1)[1:-1]
        self.edges = [np.unique(np.nanquantile(column, inner)) if np.isfinite(column).any() else np.empty(0)
                      for column in np.asarray(features.blocks["numeric"], np.float64).T]  # fmt: skip
        levels = self._levels(features)
        information = [_information(column, labels) for column in levels.T]
        # Rounded, so that columns which tell as much are chosen in one order wherever their sums were made.
        chosen = np.sort(np.argsort(np.round(information, 12))[::-1][:N_CROSSED])
        self.pairs = list(combinations(chosen.tolist(), 2))
        self.n_levels = [int(column.max(initial=0)) + 2 for column in levels.T]  # the last for what was never seen
        self.kept = [_frequent(self._crossed(levels, pair)) for pair in self.pairs]

    def encode(self, features: Features) -> Inputs:
        """Weighted: raw inputs, splines, crossings; combinations that were rare or never seen have none."""
        blocks = [sparse.csr_matrix(self.raw.encode(features).spelt_out())]
        if len(self.splined):
            blocks.append(self.splines.transform(self._filled(features)[:, self.splined]).tocsr())
        levels = self._levels(features)
        blocks += [
            _indicators(self._crossed(levels, pair), kept) for pair, kept in zip(self.pairs, self.kept, strict=True)
        ]
        weighted = sparse.hstack(blocks, format="csr", dtype=np.float64)
        return Inputs(no_numbers(len(features)), no_places(len(features)), weighted=weighted)

    def _filled(self, features: Features) -> NDArray[np.float64]:
        """The scaled numbers, 0 where missing."""
        return np.nan_to_num(self.raw.scaled(features.blocks["numeric"]).astype(np.float64), nan=0.0)

    def _levels(self, features: Features) -> NDArray[np.int64]:
        """Every column as small whole numbers: bins of numbers, one more for missing; positions of categories."""
        bins = [
            np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="right"))
            for column, edges in zip(np.asarray(features.blocks["numeric"], np.float64).T, self.edges, strict=True)
        ]
        levels = [*bins, *self.raw.categories.places(features.blocks["categorical"]).T]
        return np.stack(levels, axis=1).astype(np.int64) if levels else np.empty((len(features), 0), np.int64)

    def _crossed(self, levels: NDArray[np.int64], pair: tuple[int, int]) -> NDArray[np.int64]:
        first, second = pair
        a = np.minimum(levels[:, first], self.n_levels[first] - 1)
        b = np.minimum(levels[:, second], self.n_levels[second] - 1)
        return a * self.n_levels[second] + b


def _information(levels: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Mutual information of a column and the class in nats, less its expected value for a column that tells nothing
    (Miller 1955: half the degrees of freedom over the rows)."""
    from sklearn.metrics import mutual_info_score

    n_free = (len(np.unique(levels)) - 1) * (len(np.unique(labels)) - 1)
    return float(mutual_info_score(labels, levels)) - n_free / (2 * len(levels))


def _frequent(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    values, counts = np.unique(codes, return_counts=True)
    return values[counts >= RARE]


def _indicators(codes: NDArray[np.int64], kept: NDArray[np.int64]) -> sparse.csr_matrix:
    """One column for each kept code: (n_rows, n_kept)."""
    if not len(kept):
        return sparse.csr_matrix((len(codes), 0))
    place = np.minimum(np.searchsorted(kept, codes), len(kept) - 1)
    rows = np.flatnonzero(kept[place] == codes)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, place[rows])), shape=(len(codes), len(kept)))
