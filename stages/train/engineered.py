"""Hand-engineered features: what a practitioner adds by hand before a linear learner, fitted on the rows of one fit.

Words: character n-grams, hashed, with marks at start and end (Weinberger et al. 2009). Images: histograms of oriented
gradients (Dalal and Triggs 2005). Tables: every number also as cubic splines between quantiles, every pair of the most
telling columns crossed, that is an indicator for each combination of their values, numbers in bins of equally many
rows.
"""

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.common.artefacts import Features
from stages.common.errors import InputError
from stages.train.encoders import RARE, Encoder
from stages.train.fits import Draw
from stages.train.ngrams import N_BUCKETS, buckets_of, marked

N_KNOTS = 8  # of each number's splines
N_BINS = 8  # of a number before it is crossed
NGRAM_SCALE = np.float32(30)  # length of a word's counts, so that one choice of penalties serves words and tables
HOG_SCALE = np.float32(6)  # brings the 36 numbers of a block of length 1 near deviation 1
KEPT = 2  # matrices of rows just seen: those that were fitted and those held out serve one setting after the other
N_CROSSED = 12  # columns that are crossed with one another: those that tell most about the class


class EngineeredEncoder:
    """Splines and crossings beside the raw inputs; `matrix` gives them sparse."""

    def __init__(self, features: Features, labels: NDArray[np.int64]):
        features = _as_numbers(features)
        self.raw = Encoder(features)
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
                      for column in np.asarray(features.numeric, np.float64).T]  # fmt: skip
        levels = self._levels(features)
        information = [_information(column, labels) for column in levels.T]
        chosen = np.sort(np.argsort(information)[::-1][:N_CROSSED])
        self.pairs = list(combinations(chosen.tolist(), 2))
        self.n_levels = [int(column.max(initial=0)) + 2 for column in levels.T]  # the last for what was never seen
        self.kept = [_frequent(self._crossed(levels, pair)) for pair in self.pairs]

    def matrix(self, features: Features) -> sparse.csr_matrix:
        """(n_rows, n_inputs): raw inputs, splines, crossings; combinations that were rare or never seen have none."""
        features = _as_numbers(features)
        blocks = [sparse.csr_matrix(self.raw.one_hot(features))]
        if len(self.splined):
            blocks.append(self.splines.transform(self._filled(features)[:, self.splined]).tocsr())
        levels = self._levels(features)
        blocks += [
            _indicators(self._crossed(levels, pair), kept) for pair, kept in zip(self.pairs, self.kept, strict=True)
        ]
        return sparse.hstack(blocks, format="csr", dtype=np.float64)

    def _filled(self, features: Features) -> NDArray[np.float64]:
        """The scaled numbers, 0 where missing."""
        return np.nan_to_num(self.raw.scaled(features.numeric).astype(np.float64), nan=0.0)

    def _levels(self, features: Features) -> NDArray[np.int64]:
        """Every column as small whole numbers: bins of numbers, one more for missing; positions of categories."""
        bins = [
            np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="right"))
            for column, edges in zip(np.asarray(features.numeric, np.float64).T, self.edges, strict=True)
        ]
        levels = [*bins, *self.raw.positions(features)]
        return np.stack(levels, axis=1).astype(np.int64) if levels else np.empty((len(features), 0), np.int64)

    def _crossed(self, levels: NDArray[np.int64], pair: tuple[int, int]) -> NDArray[np.int64]:
        first, second = pair
        a = np.minimum(levels[:, first], self.n_levels[first] - 1)
        b = np.minimum(levels[:, second], self.n_levels[second] - 1)
        return a * self.n_levels[second] + b


class NgramEncoder:
    """How often a word has each hashed n-gram, scaled to one length; nothing is fitted."""

    @staticmethod
    @lru_cache(maxsize=KEPT)
    def matrix(features: Features) -> sparse.csr_matrix:
        """(n_rows, N_BUCKETS)."""
        codes, are_there = buckets_of(marked(features.letters), np.concatenate)
        rows = np.repeat(np.arange(len(codes)), are_there.sum(axis=1))
        counts = sparse.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, codes[are_there])), shape=(len(codes), N_BUCKETS)
        )
        lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        return sparse.csr_matrix(sparse.diags_array(NGRAM_SCALE / np.maximum(lengths, 1e-9)) @ counts)


class HogEncoder:
    """How strongly brightness changes in each of nine directions, in each cell of a grid over the image, normalised in
    blocks of 2 x 2 cells; nothing is fitted."""

    @staticmethod
    @lru_cache(maxsize=KEPT)
    def matrix(features: Features) -> NDArray[np.float32]:
        """(n_rows, n_inputs); raises InputError where an image is too small for a block."""
        from skimage.feature import hog  # slow to import, and for images alone

        height, width = features.pixels.shape[1:3]
        cell = max(4, min(height, width) // 7)
        if min(height, width) < 2 * cell:
            raise InputError(f"gradient histograms need images of 8 x 8 pixels or more, not {height} x {width}")
        n_inputs = 9 * 4 * (height // cell - 1) * (width // cell - 1)  # directions, cells of a block, blocks
        found = np.empty((len(features), n_inputs), np.float32)
        for row, image in zip(found, features.pixels, strict=True):
            row[:] = hog(image, orientations=9, pixels_per_cell=(cell, cell), cells_per_block=(2, 2), channel_axis=2)
        return HOG_SCALE * found


@lru_cache(maxsize=1)  # the settings of a draw follow one another
def encoder_of(how: str, draw: Draw) -> Encoder | EngineeredEncoder | NgramEncoder | HogEncoder:
    """The encoder of a fit's rows; its `matrix` gives the inputs."""
    if how == "raw":
        return Encoder(draw.fit)
    if draw.fit.letters.shape[1]:
        return NgramEncoder()
    return HogEncoder() if draw.fit.pixels.shape[1] else EngineeredEncoder(draw.fit, draw.fit_labels)


def _as_numbers(features: Features) -> Features:
    """A signal's values as numbers of their own scales, beside the others."""
    return Features(np.column_stack([features.numeric, features.signal]), features.categorical)


def _information(levels: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Mutual information of a column and the class in nats, less its expected value for a column that tells nothing
    (Miller 1955: half the degrees of freedom over the rows)."""
    table = np.zeros((levels.max(initial=0) + 1, labels.max(initial=0) + 1))
    np.add.at(table, (levels, labels), 1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    joint = table / table.sum()
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    seen = joint > 0
    found = float((joint[seen] * np.log(joint[seen] / expected[seen])).sum())
    return found - (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * len(levels))


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
