"""How features become a learner's inputs; everything is fitted on the rows of one fit alone.

Written here because a network's cell would otherwise import scikit-learn for this alone, a tenth of a small cell's
time, and because its one-hot encoder has an entry for unseen categories only where some category was rare.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.common import provenance
from stages.common.artefacts import Features
from stages.common.errors import InputError

RARE = 3  # categories in fewer rows share the last entry, which also serves categories that were never seen
FIRST, LAST = 12, 6  # letters of a word, from its start and from its end, that are categories of their own
BEND = 3.0  # what a robustly scaled number stays below
NORMAL_QUARTILES = 1.3489795  # deviations between the quartiles of a normal distribution
MOST = 254  # categories of a column with an entry of their own, the most frequent; what scikit-learn's booster can bin


class Encoder:
    """Median and spread of the numbers, and the vocabulary of each category column, of the fitted rows.

    The spread is that of the quartiles, and where these are equal the deviation.
    """

    def __init__(self, features: Features):
        numbers = np.asarray(features.numeric, np.float64)
        is_missing = np.isnan(numbers)
        known = np.where(is_missing.all(axis=0), 0, numbers)
        quartiles = np.nanquantile(known, [0.25, 0.5, 0.75], axis=0) if known.size else np.zeros((3, numbers.shape[1]))
        low, self.median, high = quartiles
        deviation = np.nanstd(known, axis=0) if known.size else np.zeros(numbers.shape[1])
        spread = np.where(high > low, (high - low) / NORMAL_QUARTILES, deviation)
        self.spread = np.where(spread > 0, spread, 1.0)
        self.has_missing = is_missing.any(axis=0)
        self.vocabularies = [_vocabulary(codes) for codes in _codes(features).T]
        self.n_alike = sum(block.shape[1] for block in _alike(features))
        self.levels = [(float(b.mean()), float(b.std()) or 1.0) if b.size else (0.0, 1.0) for b in _alike(features)]

    @property
    def n_dense(self) -> int:
        """Inputs that are not one-hot."""
        return len(self.median) + int(self.has_missing.sum()) + self.n_alike

    @property
    def n_inputs(self) -> int:
        return self.n_dense + sum(len(vocabulary) + 1 for vocabulary in self.vocabularies)

    def compact(self, features: Features) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """(n_rows, n_dense): scaled numbers, 0 where missing; indicators of missing; pixels or a signal, which share
        one mean and one deviation; and (n_rows, n_categorical): which of all inputs is the 1 of each category column.

        The last input of each category column is for rare and unseen ones.
        """
        numbers = self.scaled(features.numeric)
        is_missing = np.isnan(numbers)
        dense = [np.where(is_missing, np.float32(0), numbers), is_missing[:, self.has_missing].astype(np.float32)]
        for block, (mean, deviation) in zip(_alike(features), self.levels, strict=True):
            dense.append((block.astype(np.float32) - np.float32(mean)) / np.float32(deviation))
        ones = np.empty((len(features), len(self.vocabularies)), np.int32)
        first = self.n_dense
        for column, places, vocabulary in zip(ones.T, self.positions(features), self.vocabularies, strict=True):
            column[:] = first + places
            first += len(vocabulary) + 1
        return np.concatenate(dense, axis=1), ones

    def one_hot(self, features: Features) -> NDArray[np.float32]:
        """(n_rows, n_inputs): what `compact` gives, spelt out; raises InputError where that needs too much memory."""
        if (n_bytes := 4 * len(features) * self.n_inputs) > provenance.memory() / 4:
            needed = f"{len(features)} rows of {self.n_inputs} inputs need {n_bytes / 1e9:.1f} GB"
            remedy = "drop columns of many categories or lower scale.sizes"
            raise InputError(f"{needed}, a quarter of the memory is {provenance.memory() / 4e9:.1f} GB; {remedy}")
        dense, ones = self.compact(features)
        X = np.zeros((len(features), self.n_inputs), np.float32)
        X[:, : dense.shape[1]] = dense
        np.put_along_axis(X, ones, np.float32(1), axis=1)
        return X

    def scaled(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n_rows, n_numeric), NaN where missing: by median and spread, bent so that none is beyond BEND.

        Outliers, and a value that means "missing", neither set the scale nor leave it (Holzmueller, Grinsztajn and
        Steinwart 2024).
        """
        scaled = (numbers - self.median) / self.spread
        return (scaled / np.sqrt(1 + (scaled / BEND) ** 2)).astype(np.float32)

    def matrix(self, features: Features) -> NDArray[np.float32]:
        """The inputs of a learner that takes no categories: one_hot."""
        return self.one_hot(features)

    def ordinal(self, features: Features) -> NDArray[np.float32]:
        """(n_rows, n_ordered + n_categorical): numbers, pixels and signals as they are; categories as positions, rare
        and unseen last."""
        return np.column_stack([features.numeric, *_alike(features), *self.positions(features)]).astype(np.float32)

    def positions(self, features: Features) -> list[NDArray[np.intp]]:
        """Of each category column the place of every row's category in the vocabulary, rare and unseen last."""
        codes = _codes(features)
        return [_positions(codes[:, i], words) for i, words in enumerate(self.vocabularies)]


class SparseEncoder(Encoder):
    """For rows of categories alone, as words are: letter by letter."""

    def matrix(self, features: Features) -> sparse.csr_matrix:  # type: ignore[override]
        """The same (n_rows, n_inputs) as one_hot, sparse."""
        _, places = self.compact(features)
        ends = np.arange(len(places) + 1) * places.shape[1]
        return sparse.csr_matrix((np.ones(places.size), places.ravel(), ends), shape=(len(places), self.n_inputs))


def n_ordered(features: Features) -> int:
    """How many columns of `ordinal` are numbers."""
    return features.numeric.shape[1] + sum(block.shape[1] for block in _alike(features))


def _alike(features: Features) -> list[NDArray[Any]]:
    """Blocks of one scale: pixels (n_rows, height * width * n_channels) and signal (n_rows, n_values)."""
    pixels = features.pixels
    return [pixels.reshape(len(pixels), math.prod(pixels.shape[1:])), features.signal]


def _codes(features: Features) -> NDArray[np.int32]:
    """The category columns; of words, the letter at each of the first and of the last places as a category."""
    letters = np.asarray(features.letters)
    if not letters.shape[1]:
        return features.categorical
    lengths = (letters != 0).sum(axis=1)[:, None]
    from_end = lengths - 1 - np.arange(min(LAST, letters.shape[1]))
    last = np.where(from_end >= 0, np.take_along_axis(letters, np.maximum(from_end, 0), axis=1), 0)
    return np.concatenate([features.categorical, letters[:, :FIRST], last], axis=1).astype(np.int32)


def _vocabulary(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """The codes with an entry of their own, ascending; -1, missing, is a category like others."""
    values, counts = np.unique(codes, return_counts=True)
    frequent = counts >= RARE
    most = np.sort(np.argsort(-counts[frequent], kind="stable")[:MOST])
    return values[frequent][most]


def _positions(codes: NDArray[np.int32], vocabulary: NDArray[np.int32]) -> NDArray[np.intp]:
    """Index of each code in the vocabulary, its length for codes outside: (n_rows,)."""
    if not len(vocabulary):
        return np.zeros(len(codes), np.intp)
    found = np.minimum(np.searchsorted(vocabulary, codes), len(vocabulary) - 1)
    return np.where(vocabulary[found] == codes, found, len(vocabulary))
