"""The forms that rows are encoded in: all that learners know of them, whatever the rows are."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.common import provenance
from stages.common.errors import InputError
from stages.common.features import Features

BAG_LENGTH = np.float32(30)  # of a row's counts, so that one choice of penalties serves bags and numbers


@dataclass(frozen=True)
class Bags:
    """Of each row some positions out of n_positions, in their order; one may come more than once.

    codes: (n_codes,) int32, one row after the other; n_each: (n_rows,) int64, how many a row has.
    """

    codes: NDArray[np.int32]
    n_each: NDArray[np.int64]
    n_positions: int

    def counts(self) -> sparse.csr_matrix:
        """How often a row has each position, scaled to one length: (n_rows, n_positions)."""
        n_rows = len(self.n_each)
        rows, ones = np.repeat(np.arange(n_rows), self.n_each), np.ones(len(self.codes), np.float32)
        counts = sparse.csr_matrix((ones, (rows, self.codes)), shape=(n_rows, self.n_positions))
        lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        return sparse.csr_matrix(sparse.diags_array(BAG_LENGTH / np.maximum(lengths, 1e-9)) @ counts)


@dataclass(frozen=True)
class Inputs:
    """Encoded rows, by form; a form that the rows do not have is without columns, or None.

    dense: (n_rows, n_dense) float32, the first n_numbers of which are numbers of scales of their own.
    places: (n_rows, n_columns) int32, of each one-hot column which of its n_places inputs is 1.
    bags: positions in their order. weighted: (n_rows, n) sparse float64, instead of all other forms.
    is_even: whether all inputs are indicators, or counts, of about one scale, and most of them 0.
    """

    dense: NDArray[np.float32]
    places: NDArray[np.int32]
    n_places: tuple[int, ...] = ()
    n_numbers: int = 0
    bags: Bags | None = None
    weighted: sparse.csr_matrix | None = None
    is_even: bool = False

    def __len__(self) -> int:
        return len(self.dense)

    @property
    def n_inputs(self) -> int:
        """Of dense and one-hot form."""
        return self.dense.shape[1] + sum(self.n_places)

    @property
    def ones(self) -> NDArray[np.int32]:
        """Which of these inputs are 1: (n_rows, n_columns)."""
        firsts = self.dense.shape[1] + np.cumsum([0, *self.n_places])[: len(self.n_places)]
        return (self.places + firsts).astype(np.int32)

    @property
    def is_plain(self) -> bool:
        """Whether all inputs are of dense and one-hot form."""
        return self.bags is None and self.weighted is None

    @property
    def is_categorical(self) -> NDArray[np.bool_]:
        """Of each column of `ordered` whether its values are places."""
        return np.arange(self.dense.shape[1] + len(self.n_places)) >= self.dense.shape[1]

    def ordered(self) -> NDArray[np.float32]:
        """(n_rows, n_dense + n_columns): the dense ones, and of each one-hot column the place."""
        return np.column_stack([self.dense, self.places]).astype(np.float32)

    def spelt_out(self) -> NDArray[np.float32]:
        """(n_rows, n_inputs): dense and one-hot; raises InputError where that needs too much memory."""
        if (n_bytes := 4 * len(self) * self.n_inputs) > provenance.memory() / 4:
            needed = f"{len(self)} rows of {self.n_inputs} inputs need {n_bytes / 1e9:.1f} GB"
            remedy = "drop columns of many categories or lower scale.sizes"
            raise InputError(f"{needed}, a quarter of the memory is {provenance.memory() / 4e9:.1f} GB; {remedy}")
        X = np.zeros((len(self), self.n_inputs), np.float32)
        X[:, : self.dense.shape[1]] = self.dense
        np.put_along_axis(X, self.ones, np.float32(1), axis=1)
        return X

    def without_zeros(self) -> sparse.csr_matrix:
        """The same, float64, with the one-hot inputs that are 1 alone."""
        n_dense, n_each = self.dense.shape[1], self.dense.shape[1] + len(self.n_places)
        values, columns = np.ones((len(self), n_each)), np.empty((len(self), n_each), np.int32)
        values[:, :n_dense], columns[:, :n_dense], columns[:, n_dense:] = self.dense, np.arange(n_dense), self.ones
        ends = np.arange(len(self) + 1) * n_each
        return sparse.csr_matrix((values.ravel(), columns.ravel(), ends), shape=(len(self), self.n_inputs))

    def matrix(self) -> NDArray[np.float32] | sparse.csr_matrix:
        """(n_rows, n): what the rows have, spelt out but for the forms that are sparse by themselves."""
        if self.weighted is not None:
            return self.weighted
        return self.spelt_out() if self.bags is None else self.bags.counts()


class Encoder(ABC):
    """How rows of one kind become inputs; what it learns, it learns from the rows of one fit alone."""

    @abstractmethod
    def encode(self, features: Features) -> Inputs:
        """Scaled and spelt for learners that add inputs up."""

    def plain(self, features: Features) -> Inputs:
        """For learners that compare values: numbers as they are, NaN where missing."""
        return self.encode(features)


def no_places(n_rows: int) -> NDArray[np.int32]:
    return np.empty((n_rows, 0), np.int32)


def no_numbers(n_rows: int) -> NDArray[np.float32]:
    return np.empty((n_rows, 0), np.float32)
