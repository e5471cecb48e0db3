"""A source's table, and its split into a pool and a test set."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.features import Features, tables
from stages.common.sampling import stratified_order
from stages.common.seeds import seed_from
from stages.contract.dataset import Column, LeftOut
from stages.prepare.repeats import Repeats, are_copies, repeating

LEAST_GROUPS = 4  # of the pool


@dataclass(frozen=True)
class Table:
    """What a source hands over: every row with a known label, in the source's order.

    features: (n_rows,), in memory or on disk; columns: the card of each column.
    labels: (n_rows,) int64, index into `classes`.
    groups, times: (n_rows,) int64 group of each row and its place in time, None where rows have none.
    n_read: rows of the source as it lies there; dropped: reason -> number of those left out.
    left_out: columns, each with the reason. warnings: what the user should look at. file_columns: all of a user's file,
    where the data are one; the card of a column then names the file's as `column`.
    """

    title: str
    source: str
    licence: str
    sha256: dict[str, str]
    target: str
    classes: list[str]
    features: Features
    columns: list[Column]
    labels: NDArray[np.int64]
    n_read: int
    groups: NDArray[np.int64] | None = None
    times: NDArray[np.int64] | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    file_columns: list[str] | None = None


def encode(columns: pd.DataFrame) -> Features:
    """The columns as two blocks, numbers and codes; -0.0 becomes 0.0 so that equal rows have equal bytes.

    Categorical columns have pandas' category dtype, all others become float32.
    """
    is_categorical = [isinstance(dtype, pd.CategoricalDtype) for dtype in columns.dtypes]
    numeric = columns.loc[:, [not flag for flag in is_categorical]].to_numpy(np.float32, na_value=np.nan)
    codes = [columns[name].cat.codes.to_numpy(np.int32) for name in columns.columns[is_categorical]]
    categorical = np.stack(codes, axis=1) if codes else np.empty((len(columns), 0))
    return tables(np.ascontiguousarray(numeric + np.float32(0)), categorical.astype(np.int32))


def cards(columns: pd.DataFrame, descriptions: dict[str, str]) -> list[Column]:
    """Name, kind, description and number of missing values of each column."""
    cards_of = []
    for name in map(str, columns):
        values, description = columns[name], descriptions[name]
        missing = int(values.isna().sum())
        if isinstance(values.dtype, pd.CategoricalDtype):
            categories = [str(c) for c in values.cat.categories]
            cards_of.append(Column(name=name, kind="categorical", description=description, missing=missing,
                                categories=categories))  # fmt: skip
        else:
            cards_of.append(Column(name=name, kind="numeric", description=description, missing=missing))
    return cards_of


@dataclass(frozen=True)
class Sides:
    """Row ids of pool and test, each ascending; how many pool rows repeat a test row, and whether they are gone."""

    pool: NDArray[np.int64]
    test: NDArray[np.int64]
    n_repeats: int
    are_dropped: bool


def sides(table: Table, how: str, n_test: int, seed: int, repeats: Repeats) -> Sides:
    """Pool and test; rows of the pool that repeat one of the test are dropped or kept, with `auto` where they came
    about by chance."""
    pool, test = split(table, how, n_test, seed)
    repeat = repeating(table.features, pool, test)
    are_dropped = repeats == "drop" or (repeats == "auto" and are_copies(table.features, pool, test))
    return Sides(pool[~repeat] if are_dropped else pool, test, int(repeat.sum()), are_dropped)


def check_classes(table: Table, both_sides: Sides, how: str) -> None:
    """Raises InputError where a side of the split lacks a class, or has groups too few to hold some out."""
    remedy = {
        "random": "change dataset.n_test",
        "time": "it begins or ends there; merge it with another class or drop its rows",
    }.get(how, "change dataset.seed, or merge it with another class")
    for side, rows in {"pool": both_sides.pool, "test": both_sides.test}.items():
        counts = np.bincount(table.labels[rows], minlength=len(table.classes))
        if not counts.all():
            name = table.classes[int(counts.argmin())]
            raise InputError(f"the {side} of {len(rows)} rows has none of class {name!r}; {remedy}")
    if how in ("day", "group") and table.groups is not None:
        n_groups = len(np.unique(table.groups[both_sides.pool]))
        if n_groups < LEAST_GROUPS:
            what = f"the pool has {n_groups} groups, and to fit, some of them are held out: {LEAST_GROUPS} are needed"
            raise InputError(f"{what}; bring more groups, or split by rows: dataset.split=random")


def split(table: Table, how: str, n_test: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row ids of the pool and of the test set, each ascending.

    random: n_test rows, stratified by class. day, group: whole groups in random order until they hold n_test rows.
    time: the n_test latest rows, and those of the same time as the first of them.
    Raises InputError where the split is not possible with this table.
    """
    rows = np.arange(len(table.labels))
    random = np.random.default_rng(seed_from("test", how, seed))
    if n_test >= len(rows):
        raise InputError(f"dataset.n_test={n_test} leaves no pool of the {len(rows)} rows; lower dataset.n_test")
    if how == "random":
        order = stratified_order(table.labels, random)
        return np.sort(order[n_test:]), np.sort(order[:n_test])
    groups = table.times if how == "time" else table.groups
    if groups is None:
        raise InputError(f"dataset.split={how!r}: the rows of {table.title} have no {how}s; use dataset.split=random")
    if how == "time":
        is_test = groups >= np.partition(groups, -n_test)[-n_test]
    else:
        names, rows_of_group = np.unique(groups, return_counts=True)
        order = random.permutation(len(names))
        n_groups = 1 + np.searchsorted(np.cumsum(rows_of_group[order]), n_test)
        is_test = np.isin(groups, names[order[:n_groups]])
    if is_test.all():
        raise InputError(f"dataset.n_test={n_test} takes all {len(np.unique(groups))} {how}s; lower dataset.n_test")
    return rows[~is_test], rows[is_test]
