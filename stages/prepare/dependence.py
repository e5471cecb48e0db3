"""Do the rows of a user's table go together, where a random split counts them as single ones?

Rows of one person, one device or one week may have more in common than their features say. Bands that count them as
single rows are then too narrow for new persons or weeks. It shows in what a model leaves unexplained on values that it
never saw: the residuals of one value of a column, or of one stretch of time, lie on one side more often than chance has
it. The model sees neither the column nor what is constant within its values: what it would make of these it would make
of all rows of a value alike.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from stages.common.seeds import seed_from
from stages.prepare.tables import Table

N_LOOKED_AT, N_CHUNKS = 200_000, 20  # rows of which columns are looked at, in so many stretches of a longer file
N_FITTED, MOST_GROUPS = 3_000, 200  # rows and groups that a model is fitted to
MOST_WHOLE = 100  # columns of whole numbers; a table with more of them is no table of records
N_FOLDS = 3
CYCLES = ("(month)", "(weekday)", "(hour)")  # of a date: what recurs is no stretch of time
N_STRETCHES = 30  # of time
LEAST_VALUES, MANY_VALUES = 5, 20  # of a column that may name groups; so many do without another sign of it
LEAST_REPEATS = 2.0  # rows of one value, in the mean
MOST_COLUMNS = 3  # looked at, those with most values
MOST_ALIKE = 0.3  # correlation of a name that is a number with other columns, and of neighbouring names' frequencies
NAMES = re.compile(
    r"(?i)(^|[_ ])(id|user|patient|subject|customer|client|person|session|household|site|device)(_?id|s)?($|[_ ])"
)
LEVEL = 0.005  # of the test, over all columns together
LEAST_EFFECT = 1.2  # times the variance of a mean over as many single rows, from which it is told


@dataclass(frozen=True)
class _Candidate:
    """A column of the user's file and the group of every pool row by it: (n_rows,)."""

    name: str
    groups: NDArray[np.int64]
    is_time: bool


def told_of_dependence(table: Table, pool_rows: NDArray[np.int64], seed: int) -> list[str]:
    """A warning for each column by whose values, or whose stretches of time, the rows go together."""
    rows = np.sort(pool_rows)
    if len(rows) > N_LOOKED_AT:  # stretches of the file, so that rows that stand together still do
        starts = np.linspace(0, len(rows) - N_LOOKED_AT // N_CHUNKS, N_CHUNKS).astype(np.int64)
        rows = np.concatenate([rows[start : start + N_LOOKED_AT // N_CHUNKS] for start in starts])
    warnings = []
    candidates = _candidates(table, rows)
    for candidate in candidates:
        random = np.random.default_rng(seed_from("dependence", seed))
        correlation = _in_common(table, rows, candidate, LEVEL / len(candidates), random)
        counts = np.bincount(candidate.groups).astype(np.float64)
        if 1 + ((counts**2).sum() / counts.sum() - 1) * correlation < LEAST_EFFECT:  # Kish 1965
            continue
        what = f"{len(counts)} stretches of time by" if candidate.is_time else f"{len(counts)} values of"
        remedy = f"python -m stages.compose --{'time' if candidate.is_time else 'group'} {shlex.quote(candidate.name)}"
        warnings.append(
            f"rows go together by the {what} {candidate.name!r}: those of one have {correlation:.0%} in common of what "
            f"a model leaves unexplained; if the model will meet new ones, bands are too narrow and errors too low: "
            f"split by it, `{remedy}`; if these are all there are, nothing is amiss"
        )
    return warnings


def _candidates(table: Table, rows: NDArray[np.int64]) -> list[_Candidate]:
    """Stretches of time, and columns whose values may name groups: few enough to repeat, and many, or standing
    together in the file, or deciding another column."""
    times, named = [], []
    columns = _columns(table, rows)
    ranks = {column.name: np.unique(column.values, return_inverse=True)[1].reshape(-1) for column in columns}
    measured = _measured([column for column in columns if not column.is_time], ranks)
    for column in columns:
        codes = ranks[column.name]
        n_values = int(codes.max()) + 1
        if column.is_time:
            if n_values >= N_STRETCHES:
                times.append(_Candidate(column.name, _stretches(codes), True))
        elif LEAST_VALUES <= n_values <= len(codes) / LEAST_REPEATS:
            stands_together = np.count_nonzero(np.diff(codes)) + 1 <= 1.5 * n_values
            is_name = n_values >= MANY_VALUES and column.name not in measured
            others = [ranks[other.name] for other in columns if other is not column]
            if is_name or NAMES.search(column.name) or stands_together or _decides(codes, others):
                named.append(_Candidate(column.name, codes.astype(np.int64), False))
    return times + sorted(named, key=lambda candidate: -int(candidate.groups.max()))[:MOST_COLUMNS]


def _stretches(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbered from 0; rows of one moment lie in one."""
    first = np.searchsorted(np.sort(codes), codes)  # how many rows come before each moment
    return np.unique(first * N_STRETCHES // len(codes), return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True)
class _Column:
    """Of the user's file, with values that may repeat; values: (n_rows,)."""

    name: str
    is_time: bool
    is_number: bool
    values: NDArray[np.float32]


def _columns(table: Table, rows: NDArray[np.int64]) -> list[_Column]:
    columns = []
    numeric, categorical = (table.features.blocks[name] for name in ("numeric", "categorical"))
    n_numeric = numeric.shape[1]
    for i, card in enumerate(table.columns):
        is_date = card.description.startswith(("date", "timestamp"))
        if is_date and not card.name.endswith("(days)"):
            continue
        block, at = (numeric, i) if i < n_numeric else (categorical, i - n_numeric)
        values = np.asarray(block[rows, at], np.float32)
        if is_date or np.array_equal(values, np.round(values), equal_nan=True):
            columns.append(_Column(card.column or card.name, is_date, i < n_numeric, np.nan_to_num(values, nan=-1e30)))
            if len(columns) > MOST_WHOLE:
                return []
    return columns


def _measured(columns: Sequence[_Column], ranks: dict[str, NDArray[np.int64]]) -> set[str]:
    """Names of numbers that were counted or measured rather than given as names: neighbouring values are about as
    frequent, or they go up and down with another column."""
    if not columns:
        return set()
    taken = np.linspace(0, len(columns[0].values) - 1, min(N_FITTED, len(columns[0].values))).astype(np.int64)
    matrix = np.stack([ranks[column.name][taken] for column in columns]).astype(np.float64)
    matrix -= matrix.mean(axis=1, keepdims=True)
    lengths = np.sqrt((matrix**2).sum(axis=1))
    matrix /= np.where(lengths > 0, lengths, 1)[:, None]
    together = np.abs(matrix @ matrix.T)
    np.fill_diagonal(together, 0)
    names = {c.name for c, most in zip(columns, together.max(axis=1), strict=True) if c.is_number and most > MOST_ALIKE}
    for column in columns:
        frequencies = np.log(np.bincount(ranks[column.name]))
        first, second = frequencies[1:], frequencies[:-1]
        varies = column.is_number and len(first) > 2 and min(first.std(), second.std()) > 0
        if varies and np.corrcoef(first, second)[0, 1] > MOST_ALIKE:
            names.add(column.name)
    return names


def _decides(codes: NDArray[np.int64], others: Sequence[NDArray[np.int64]]) -> bool:
    """Is another column, of at least two values, the same in all rows of each value without being the same column?"""
    order = np.argsort(codes, kind="stable")
    is_next = np.diff(codes[order]) == 0
    return any(
        not (np.diff(other[order]) != 0)[is_next].any() and 0 < int(other.max()) < int(codes.max()) for other in others
    )


def _in_common(
    table: Table, rows: NDArray[np.int64], candidate: _Candidate, level: float, random: np.random.Generator
) -> float:
    """The intraclass correlation of what a model that never saw a group leaves unexplained in it; 0 where it is no more
    than chance has it."""
    groups = candidate.groups
    chosen = random.permutation(int(groups.max()) + 1)[:MOST_GROUPS]
    place = np.full(int(groups.max()) + 1, -1)
    place[chosen] = np.arange(len(chosen))
    shuffled = random.permutation(len(rows))
    shuffled = shuffled[place[groups[shuffled]] >= 0]
    shuffled = shuffled[np.argsort(place[groups[shuffled]], kind="stable")]
    codes = place[groups[shuffled]]
    nth = np.arange(len(codes)) - np.searchsorted(codes, codes)  # of its group
    taken = shuffled[nth < max(2, 2 * N_FITTED // len(chosen))]
    if len(taken) > 2 * N_FITTED:
        taken = random.choice(taken, 2 * N_FITTED, replace=False)
    taken = np.sort(taken)
    codes = np.unique(groups[taken], return_inverse=True)[1].reshape(-1)  # in the order of their values
    if codes.max() + 1 < N_FOLDS + 2 or len(codes) - codes.max() < 10:
        return 0.0
    features, labels = table.features[rows[taken]], table.labels[rows[taken]]
    values = np.column_stack(features.flat()).astype(np.float64)
    is_own = [card.column == candidate.name and not card.name.endswith(CYCLES) for card in table.columns]
    values = values[:, [i for i, own in enumerate(is_own) if not own and not _is_constant(values[:, i], codes)]]
    # Two sides of about as many rows: every other class by frequency.
    frequency = np.argsort(np.argsort(-np.bincount(labels), kind="stable"), kind="stable")
    is_positive = frequency[labels] % 2 == 1
    folds = random.permutation(int(codes.max()) + 1)[codes] % N_FOLDS
    probabilities = _out_of_fold(values, is_positive, folds)
    return _intraclass(is_positive - probabilities, codes, folds, level)


def _is_constant(column: NDArray[np.float64], codes: NDArray[np.int64]) -> bool:
    """Within each group."""
    order = np.argsort(codes, kind="stable")
    values = np.nan_to_num(column[order], nan=-1e30)
    return not (np.diff(values) != 0)[np.diff(codes[order]) == 0].any()


def _out_of_fold(
    values: NDArray[np.float64], is_positive: NDArray[np.bool_], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probabilities (n_rows,) of models that saw the other folds alone."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    predicted = np.full(len(values), is_positive.mean())
    for fold in range(N_FOLDS):
        fit, test = folds != fold, folds == fold
        if values.shape[1] and len(np.unique(is_positive[fit])) == 2:
            model = HistGradientBoostingClassifier(
                max_iter=40, max_leaf_nodes=8, min_samples_leaf=40, early_stopping=False, random_state=0
            )
            predicted[test] = model.fit(values[fit], is_positive[fit]).predict_proba(values[test])[:, 1]
    return predicted


def _intraclass(
    residuals: NDArray[np.float64], codes: NDArray[np.int64], folds: NDArray[np.int64], level: float
) -> float:
    """The intraclass correlation, 0 where the analysis of variance finds nothing at this level.

    A course over the values' order that is smooth is no group's own, nor is what a whole fold has in common.
    """
    place = codes / codes.max()
    bends = np.stack([place, place**2, place**3, *(folds == fold for fold in range(N_FOLDS))], axis=1).astype(
        np.float64
    )
    residuals = residuals - bends @ np.linalg.lstsq(bends, residuals, rcond=None)[0]
    counts = np.bincount(codes)
    n, k = len(codes), len(counts)
    means = np.bincount(codes, residuals) / counts
    freedom = max(1, k - N_FOLDS - 3)
    between = float((counts * means**2).sum()) / freedom
    within = float(((residuals - means[codes]) ** 2).sum()) / (n - k)
    if within <= 0 or f_distribution.sf(between / within, freedom, n - k) > level:
        return 0.0
    size = (n - float((counts**2).sum()) / n) / (k - 1)
    return max(0.0, (between - within) / (between + (size - 1) * within))
