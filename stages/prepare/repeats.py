"""Rows of the pool that repeat one of the test: whether they are copies, and what becomes of them."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stages.common.features import Features

Repeats = Literal["auto", "drop", "keep"]
MOST_COLUMNS = 64  # that are looked at one by one
MOST_ODDS = 4.0  # how much likelier than among different rows agreement in a column may be, for repeats to be chance


def are_copies(features: Features, pool: NDArray[np.int64], test: NDArray[np.int64]) -> bool:
    """Whether rows of the pool that repeat one of the test are too many to have come about by chance.

    Few columns of few values repeat by chance. Then some column is free: pairs of a pool row and a test row that agree
    in all others agree in it about as often as any two different rows do. Copies agree in it whatever its values are;
    and where no pair agrees in all columns but one, as with numbers of many digits, repeats are copies too. Of one
    column alone repeats are copies where there are more values than a third of the rows.
    """
    hashes, words, factors = _hashed(features)
    n_same = _n_pairs(hashes[pool], hashes[test])
    if not n_same:
        return False
    different = np.unique(hashes, return_index=True)[1]
    if len(factors) == 1:
        return len(different) > len(hashes) / 3
    columns = np.arange(len(factors))
    if len(columns) > MOST_COLUMNS:
        columns = np.random.default_rng(0).choice(columns, MOST_COLUMNS, replace=False)
    lowest = math.inf
    for column in columns:
        values = words(int(column))
        others = hashes - values * factors[column]
        n_but_one = _n_pairs(others[pool], others[test])
        if n_but_one > n_same:
            counts = np.unique(values[different], return_counts=True)[1].astype(np.float64)
            agreeing = float((counts * (counts - 1)).sum())
            differing = len(different) * (len(different) - 1.0) - agreeing
            if agreeing:
                lowest = min(lowest, n_same / (n_but_one - n_same) * differing / agreeing)
    return lowest > MOST_ODDS


def _n_pairs(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> int:
    """How many pairs, one of each, are equal."""
    values, counts = np.unique(first, return_counts=True)
    others, counts_of_others = np.unique(second, return_counts=True)
    _, places, places_of_others = np.intersect1d(values, others, assume_unique=True, return_indices=True)
    return int((counts[places] * counts_of_others[places_of_others]).sum())


def repeating(features: Features, pool: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the pool's rows have exactly the features of one of the test's: (n_pool,).

    Rows are hashed some at a time; only rows whose hash meets a test row's are then compared as they are.
    """
    hashes = _hashed(features)[0]
    found = np.isin(hashes[pool], hashes[test])
    suspects = np.flatnonzero(found)
    found[suspects] = np.isin(_row_bytes(features[pool[suspects]]), _row_bytes(features[test]))
    return found


def _hashed(
    features: Features, n_at_once: int = 65_536
) -> tuple[NDArray[np.uint64], Callable[[int], NDArray[np.uint64]], NDArray[np.uint64]]:
    """(n_rows,) sums of a row's 32-bit words, each times an odd number of its own; a column's words; the numbers."""
    flat = features.flat()
    places = [(block, column) for block in flat for column in range(block.shape[1])]
    factors = np.random.default_rng(0).integers(2**63, size=len(places), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.empty(len(features), np.uint64)
    for start in range(0, len(features), n_at_once):
        words = np.concatenate([_words(block[start : start + n_at_once]) for block in flat], axis=1)
        hashes[start : start + len(words)] = (words * factors).sum(axis=1, dtype=np.uint64)

    def of_column(i: int) -> NDArray[np.uint64]:
        block, column = places[i]
        return _words(np.ascontiguousarray(block[:, column]))

    return hashes, of_column, factors


def _words(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Numbers and codes by their 32 bits, letters and pixels as they are."""
    is_wide = values.dtype.itemsize == 4
    return (values.view(np.uint32) if is_wide else values).astype(np.uint64)


def _row_bytes(features: Features) -> NDArray[np.void]:
    flat = features.flat()
    blocks = [np.ascontiguousarray(block).view(np.uint8) for block in flat if block.shape[1]]
    rows = np.ascontiguousarray(np.concatenate(blocks, axis=1))
    return rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
