"""Do the rows of a user's table go together, where a random split counts them as single ones?

Rows of one person, one device or one week may have more in common than their features say. Bands that count them as
single rows are then too narrow, and the error on new persons or weeks is larger than that on the test rows. It shows
in what a model leaves unexplained on values that it never saw: the residuals of one value of a column, or of one
stretch of time, lie on one side more often than chance has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from stages.common.seeds import seed_from
from stages.prepare.tables import Table

N_LOOKED_AT, N_CHUNKS = 200_000, 20  # rows of which columns are looked at, in so many stretches of a longer file
N_MOST = 5_000  # rows that a model is fitted to
N_FOLDS = 3
N_STRETCHES = 30  # of time
LEAST_VALUES, MANY_VALUES = 5, 20  # of a column that may name groups; so many do without another sign of it
MOST_ALIKE = 0.3  # correlation of a name that is a number with other columns, and of neighbouring names' frequencies
LEAST_REPEATS = 2.0  # rows of one value, in the mean
MOST_COLUMNS = 3  # looked at, those with most values
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
    found = []
    candidates = _candidates(table, rows)
    for candidate in candidates:
        random = np.random.default_rng(seed_from("dependence", seed))
        n, correlation = _in_common(table, rows, candidate, LEVEL / len(candidates), random)
        if correlation:
            what = f"{n} stretches of time by" if candidate.is_time else f"{n} values of"
            remedy = f"dataset.{'time' if candidate.is_time else 'group'}={candidate.name}"
            found.append(
                f"rows go together by the {what} {candidate.name!r}: those of one have {correlation:.0%} in common of "
                f"what a model leaves unexplained, so bands that count single rows are too narrow; if new rows bring "
                f"new ones, split by it: {remedy}"
            )
    return found


def _candidates(table: Table, rows: NDArray[np.int64]) -> list[_Candidate]:
    """Stretches of time, and columns whose values may name groups: few enough to repeat, and many, or standing
    together in the file, or deciding another column."""
    times, named = [], []
    columns = _columns(table, rows)
    for name, is_time, is_number, values in columns:
        codes = np.unique(values, return_inverse=True)[1].reshape(-1)
        n_values = int(codes.max()) + 1
        if is_time:
            if n_values >= N_STRETCHES:
                order = np.argsort(codes, kind="stable")
                ranks = np.empty(len(codes), np.int64)
                ranks[order] = np.arange(len(codes))
                first = np.full(n_values, len(codes))
                np.minimum.at(first, codes, ranks)  # rows of one moment lie in one stretch
                times.append(_Candidate(name, first[codes] * N_STRETCHES // len(codes), True))
        elif LEAST_VALUES <= n_values <= len(codes) / LEAST_REPEATS:
            stands_together = np.count_nonzero(np.diff(codes)) + 1 <= 1.5 * n_values
            others = [values for other, _, _, values in columns if other != name]
            is_name = n_values >= MANY_VALUES and not (is_number and _is_measured(codes, others))
            if is_name or stands_together or _decides(codes, others):
                named.append(_Candidate(name, codes.astype(np.int64), False))
    return times + sorted(named, key=lambda candidate: -int(candidate.groups.max()))[:MOST_COLUMNS]


def _columns(table: Table, rows: NDArray[np.int64]) -> list[tuple[str, bool, bool, NDArray[np.float64]]]:
    """Columns of the file whose values may repeat: name, is it a time, is it a number, and the rows' values."""
    found = []
    for i, card in enumerate(table.columns):
        is_date = card["description"].startswith(("date", "timestamp"))
        n_numeric = table.features.numeric.shape[1]
        if is_date and not card["name"].endswith("(days)"):
            continue
        block, at = (table.features.numeric, i) if i < n_numeric else (table.features.categorical, i - n_numeric)
        values = np.asarray(block[rows, at], np.float64)
        if is_date or np.array_equal(values, np.round(values), equal_nan=True):
            found.append((card["column"], is_date, i < n_numeric, np.nan_to_num(values, nan=-1e30)))
    return found


def _is_measured(codes: NDArray[np.int64], others: Sequence[NDArray[np.float64]]) -> bool:
    """Is a number one that was counted or measured rather than given as a name?

    Then neighbouring values are about as frequent, or it goes up and down with another column.
    """
    frequencies = np.log(np.bincount(codes))
    if frequencies.std() > 0 and np.corrcoef(frequencies[1:], frequencies[:-1])[0, 1] > MOST_ALIKE:
        return True
    ranks = [np.unique(other, return_inverse=True)[1].reshape(-1) for other in others]
    return any(abs(np.corrcoef(codes, rank)[0, 1]) > MOST_ALIKE for rank in ranks if rank.any())


def _decides(codes: NDArray[np.int64], others: Sequence[NDArray[np.float64]]) -> bool:
    """Is another column, of at least two values, the same in all rows of each value without being the same column?"""
    order = np.argsort(codes, kind="stable")
    is_next = np.diff(codes[order]) == 0
    for other in others:
        values = other[order]
        if not (np.diff(values) != 0)[is_next].any():
            n_values = len(np.unique(other))
            if 1 < n_values < codes.max() + 1:
                return True
    return False


def _in_common(
    table: Table, rows: NDArray[np.int64], candidate: _Candidate, level: float, random: np.random.Generator
) -> tuple[int, float]:
    """How many groups were looked at, and the intraclass correlation of what a model that never saw a group leaves
    unexplained in it; 0 where it is no more than chance has it, or changes little."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    groups, n_groups = candidate.groups, int(candidate.groups.max()) + 1
    order = random.permutation(n_groups)
    kept = np.searchsorted(np.cumsum(np.bincount(groups, minlength=n_groups)[order]), N_MOST) + 1
    fold_of = np.full(n_groups, -1)
    fold_of[order[:kept]] = np.arange(len(order[:kept])) % N_FOLDS
    taken = np.flatnonzero(fold_of[groups] >= 0)
    if len(taken) > 2 * N_MOST:  # a few large groups
        taken = np.sort(random.choice(taken, N_MOST, replace=False))
    features, labels = table.features[rows[taken]], table.labels[rows[taken]]
    values = np.column_stack([np.asarray(features.numeric, np.float64), features.categorical])
    # Two sides of about as many rows: every other class by frequency.
    frequency = np.argsort(np.argsort(-np.bincount(labels), kind="stable"), kind="stable")
    is_positive = frequency[labels] % 2 == 1
    codes = np.unique(groups[taken], return_inverse=True)[1].reshape(-1)
    folds = fold_of[groups[taken]]
    residuals = np.zeros(len(taken))
    for fold in range(N_FOLDS):
        fit, test = folds != fold, folds == fold
        if not test.any() or len(np.unique(is_positive[fit])) < 2:
            return 0, 0.0
        model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, early_stopping=False, random_state=0)
        left = is_positive[test] - model.fit(values[fit], is_positive[fit]).predict_proba(values[test])[:, 1]
        residuals[test] = left - left.mean()
    # A smooth course over the values is no group's own, and a model errs in it where it never saw the ends.
    place = codes / codes.max()
    residuals -= np.polynomial.Polynomial.fit(place, residuals, 3)(place)
    return int(codes.max()) + 1, _intraclass(residuals, codes, level)


def _intraclass(residuals: NDArray[np.float64], codes: NDArray[np.int64], level: float) -> float:
    """The correlation, from an analysis of variance; 0 where that finds nothing at this level, or where the variance of
    a mean over the rows grows by less than LEAST_EFFECT (1 + (rows of a group - 1) times the correlation, Kish 1965).
    """
    counts = np.bincount(codes)
    n, k = len(codes), len(counts)
    if n - k < 10 or k < N_FOLDS + 2:
        return 0.0
    means = np.bincount(codes, residuals) / counts
    between = float((counts * means**2).sum()) / (k - N_FOLDS)
    within = float(((residuals - means[codes]) ** 2).sum()) / (n - k)
    if within <= 0 or f_distribution.sf(between / within, k - N_FOLDS, n - k) > level:
        return 0.0
    squares = float((counts**2).sum()) / n
    size = (n - squares) / (k - 1)
    found = (between - within) / (between + (size - 1) * within)
    return found if 1 + (squares - 1) * found >= LEAST_EFFECT else 0.0
