"""Columns of categories, each with a vocabulary of the fitted rows."""

import numpy as np
from numpy.typing import NDArray

RARE = 3  # categories in fewer rows share the last place, which also serves categories that were never seen
MOST = 254  # categories of a column with a place of their own, the most frequent; what scikit-learn's booster can bin


class Categories:
    """codes: (n_rows, n_columns) int32 of the fitted rows; -1, missing, is a category like others."""

    def __init__(self, codes: NDArray[np.int32]):
        self.vocabularies = [_vocabulary(column) for column in codes.T]

    @property
    def n_places(self) -> tuple[int, ...]:
        return tuple(len(vocabulary) + 1 for vocabulary in self.vocabularies)

    def places(self, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Of each column the place of every row's category in the vocabulary, rare and unseen last."""
        found = np.empty(codes.shape, np.int32)
        for column, of_rows, vocabulary in zip(found.T, codes.T, self.vocabularies, strict=True):
            column[:] = _places(of_rows, vocabulary)
        return found


def _vocabulary(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """The codes with a place of their own, ascending."""
    values, counts = np.unique(codes, return_counts=True)
    frequent = counts >= RARE
    most = np.sort(np.argsort(-counts[frequent], kind="stable")[:MOST])
    return values[frequent][most]


def _places(codes: NDArray[np.int32], vocabulary: NDArray[np.int32]) -> NDArray[np.intp]:
    """Index of each code in the vocabulary, its length for codes outside: (n_rows,)."""
    if not len(vocabulary):
        return np.zeros(len(codes), np.intp)
    found = np.minimum(np.searchsorted(vocabulary, codes), len(vocabulary) - 1)
    return np.where(vocabulary[found] == codes, found, len(vocabulary))
