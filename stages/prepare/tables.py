"""A source's table, and its split into a pool and a test set."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.common.artefacts import Features
from stages.common.errors import InputError
from stages.common.sampling import stratified_order
from stages.common.seeds import seed_from


@dataclass(frozen=True)
class Table:
    """What a source hands over: every row with a known label, in the source's order.

    columns: categorical columns have pandas' category dtype, all others become float32.
    labels: (n_rows,) int64, index into `classes`.
    days: (n_rows,) int64 group of each row, None where rows do not come in groups.
    dropped: reason -> number of rows left out.
    """

    title: str
    source: str
    licence: str
    sha256: dict[str, str]
    target: str
    classes: list[str]
    columns: pd.DataFrame
    descriptions: dict[str, str]
    labels: NDArray[np.int64]
    days: NDArray[np.int64] | None
    dropped: dict[str, int]


def encode(columns: pd.DataFrame) -> Features:
    """The columns as two blocks, numbers and codes; -0.0 becomes 0.0 so that equal rows have equal bytes."""
    is_categorical = [isinstance(dtype, pd.CategoricalDtype) for dtype in columns.dtypes]
    numeric = columns.loc[:, [not flag for flag in is_categorical]].to_numpy(np.float32, na_value=np.nan)
    codes = [columns[name].cat.codes.to_numpy(np.int32) for name in columns.columns[is_categorical]]
    categorical = np.stack(codes, axis=1) if codes else np.empty((len(columns), 0))
    return Features(np.ascontiguousarray(numeric + np.float32(0)), categorical.astype(np.int32))


def split(table: Table, how: str, n_test: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row ids of the pool and of the test set, each ascending.

    random: n_test rows, stratified by class. day: whole days in random order until they hold n_test rows.
    Raises InputError where the split is not possible with this table.
    """
    rows = np.arange(len(table.labels))
    random = np.random.default_rng(seed_from("test", how, seed))
    if n_test >= len(rows):
        raise InputError(f"dataset.n_test={n_test} leaves no pool of the {len(rows)} rows; lower dataset.n_test")
    if how == "random":
        order = stratified_order(table.labels, random)
        return np.sort(order[n_test:]), np.sort(order[:n_test])
    if table.days is None:
        raise InputError(f"dataset.split={how!r}: the rows of {table.title} have no days; use dataset.split=random")
    days, rows_of_day = np.unique(table.days, return_counts=True)
    order = random.permutation(len(days))
    n_days = 1 + np.searchsorted(np.cumsum(rows_of_day[order]), n_test)
    is_test = np.isin(table.days, days[order[:n_days]])
    if is_test.all():
        raise InputError(f"dataset.n_test={n_test} takes all {len(days)} days; lower dataset.n_test")
    return rows[~is_test], rows[is_test]


def duplicates(pool: Features, test: Features) -> NDArray[np.bool_]:
    """Which pool rows have exactly the features of a test row: (n_pool,)."""
    return np.isin(_row_bytes(pool), _row_bytes(test))


def _row_bytes(features: Features) -> NDArray[np.void]:
    blocks = [np.ascontiguousarray(block).view(np.uint8) for block in (features.numeric, features.categorical)]
    rows = np.ascontiguousarray(np.concatenate(blocks, axis=1))
    return rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
