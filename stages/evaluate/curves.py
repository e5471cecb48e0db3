"""Cells measured by every metric, and the rows they become: curves.csv, classes.csv, and the marks of a cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stages.common.artefacts import Json
from stages.evaluate.estimates import Array, CellName, Estimate, Scores, Split, estimate, square_of, variance_split
from stages.evaluate.metrics import CLASS_METRICS, HIGHER_IS_BETTER, METRICS
from stages.evaluate.spread import Crossed, Spread

COLUMNS = [
    "learner", "n_train", "metric", "mean", "low", "high", "n_replicates", "n_parameters", "train_flops",
]  # fmt: skip
CLASS_COLUMNS = ["learner", "n_train", "class", "metric", "mean", "low", "high", "n_replicates"]
LEAST_GROUPS, LEAST_WRONG = 20, 10  # groups of test rows, and test rows that are wrong, below which a cell is marked
MIN_REPLICATES = 3  # fewer say next to nothing about their spread: marked


@dataclass(frozen=True)
class Cell:
    """One learner at one size, measured on the test rows.

    own: the scores by metric of the replicates that pair a draw with its own initialisation; splits: by metric how the
    variance splits, where draws and initialisations were crossed, and squares the fits there;
    classes: (class, metric) -> estimate.
    """

    name: CellName
    own: Mapping[str, Scores]
    estimates: Mapping[str, Estimate]
    classes: Mapping[tuple[int, str], Estimate]
    splits: Mapping[str, Split]
    squares: Mapping[str, Crossed]
    info: Json  # cell.json


def measure(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    info: Json,
    kept: Sequence[str],
) -> Cell:
    """A cell by every metric; shares of test rows are kept for the metrics named in `kept` alone.

    probabilities: (n_fits, n_test, n_classes), NaN where a fit is not usable, in the order of info["replicates"].
    """
    draws, inits = (
        np.array([fit[key] for fit in info["replicates"]], dtype=np.int64) for key in ("draw", "initialisation")
    )
    is_own = np.equal(draws, inits)
    is_usable = np.asarray(np.isfinite(probabilities).all(axis=(1, 2)))
    filled = np.where(is_usable[:, None, None], probabilities, 1 / probabilities.shape[2])
    own, estimates, classes, splits, squares = {}, {}, {}, {}, {}
    for metric, function in METRICS.items():
        values, influences = function(labels, filled)
        scores = Scores.of(np.where(is_usable, values, np.nan), influences, groups)
        of_own = Scores(scores.values[is_own], scores.shares[is_own])
        estimates[metric] = _estimate(of_own)
        own[metric] = of_own if metric in kept else Scores(of_own.values, np.zeros((len(of_own.values), 0)))
        if (split := variance_split(scores.values, scores.shares, draws, inits)) is not None:
            splits[metric] = split
            of_square, shares = square_of(scores.values, scores.shares, draws, inits) or (np.empty(0), np.empty(0))
            squares[metric] = Crossed(
                info["n_train"], of_square, shares if metric in kept else np.zeros((*of_square.shape, 0))
            )
    n_classes = probabilities.shape[2]
    for k in range(n_classes):
        for metric, of_class in CLASS_METRICS.items():
            if 0 < (labels == k).sum() < len(labels) and (n_classes > 2 or metric == "error"):
                values, influences = of_class(k, labels, filled[is_own])
                scores = Scores.of(np.where(is_usable[is_own], values, np.nan), influences, groups)
                classes[k, metric] = _estimate(scores)
    return Cell((info["learner"], info["n_train"]), own, estimates, classes, splits, squares, info)


def scores_of(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64] | None, metric: str
) -> Scores:
    """Signed so that higher is better; probabilities: (n_fits, n_test, n_classes), NaN where a fit is not usable."""
    is_usable = np.asarray(np.isfinite(probabilities).all(axis=(1, 2)))
    filled = np.where(is_usable[:, None, None], probabilities, 1 / probabilities.shape[2])
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    values, influences = METRICS[metric](labels, filled)
    return Scores.of(np.where(is_usable, sign * values, np.nan), sign * influences, groups)


def _estimate(scores: Scores) -> Estimate:
    return estimate(scores.values[scores.is_usable], scores.shares[scores.is_usable])


def widened(cells: Sequence[Cell], n_pool: int) -> list[Cell]:
    """The cells with their estimates' variance of replicates as `spread` has it from all of them together."""
    spreads = {metric: spread_of(cells, metric, n_pool, 1 if HIGHER_IS_BETTER[metric] else -1) for metric in METRICS}

    def of_fresh_draws(e: Estimate, metric: str, name: CellName, is_whole: bool) -> Estimate:
        variance = spreads[metric].of({name: 1.0})
        if variance is None or e.n_replicates < 2:
            return e
        of_mean = variance.of_mean(e.n_replicates)
        if not is_whole:  # of one class's rows: as much more or less than its own variance as for all rows
            own = float(np.nanvar(spreads[metric].values[name], ddof=1)) / e.n_replicates
            of_mean = e.of_replicates * (of_mean / own if own > 0 else 1.0)
        return replace(e, of_replicates=of_mean, freedom_of_replicates=variance.freedom)

    return [
        replace(
            cell,
            estimates={m: of_fresh_draws(e, m, cell.name, True) for m, e in cell.estimates.items()},
            classes={(k, m): of_fresh_draws(e, m, cell.name, False) for (k, m), e in cell.classes.items()},
        )
        for cell in cells
    ]


def spread_of(cells: Sequence[Cell], metric: str, n_pool: int, sign: int) -> Spread:
    values = {cell.name: sign * cell.own[metric].values for cell in cells}
    shares = {cell.name: sign * cell.own[metric].shares for cell in cells}
    return Spread(values, n_pool, crossed_of(cells, metric, sign), shares)


def crossed_of(cells: Sequence[Cell], metric: str, sign: int) -> dict[str, Crossed]:
    """Of each learner those at the smallest size at which draws and initialisations were crossed."""
    found: dict[str, Crossed] = {}
    for cell in sorted(cells, key=lambda cell: -cell.name[1]):
        if metric in cell.squares:
            n_train, values, shares = cell.squares[metric]
            found[cell.name[0]] = Crossed(n_train, sign * values, sign * shares)
    return found


def curve_rows(cell: Cell, confidence: float) -> list[Json]:
    """The rows of curves.csv for one cell, one a metric; replicates without a usable fit are not counted."""
    learner, n_train = cell.name
    shared: Json = {"learner": learner, "n_train": n_train}
    for key in ("n_parameters", "train_flops"):
        shared[key] = float(np.mean(cell.info[key])) if cell.info[key] else None
    return [shared | {"metric": metric} | _band(e, confidence, metric) for metric, e in cell.estimates.items()]


def class_rows(cell: Cell, names: Sequence[str], confidence: float) -> list[Json]:
    """The rows of classes.csv for one cell: error of a class's own rows, and ROC AUC against the rest beyond two."""
    learner, n_train = cell.name
    return [
        {"learner": learner, "n_train": n_train, "class": names[k], "metric": metric} | _band(e, confidence, metric)
        for (k, metric), e in cell.classes.items()
    ]


def _band(of_metric: Estimate, confidence: float, metric: str) -> Json:
    low, high = of_metric.interval(confidence) if of_metric.n_replicates > 1 else (np.nan, np.nan)
    if metric != "log_loss":  # the others lie in [0, 1]; the Brier score of many classes in [0, 2], seldom near either
        low, high = max(low, 0.0), min(high, 1.0) if metric != "brier" else high
    ends = {"mean": of_metric.mean, "low": low, "high": high}
    return {key: float(value) if np.isfinite(value) else None for key, value in ends.items()} | {
        "n_replicates": of_metric.n_replicates
    }


def marks(
    cell: Cell, metric: str, is_loss: bool, chance: float, constant_log_loss: float, class_rows_in_pool: Sequence[int],
    class_names: Sequence[str], failing: Mapping[str, tuple[int, int]], n_test: int,
) -> list[str]:  # fmt: skip
    """What a reader must know of a cell before trusting it; empty where there is nothing.

    chance, constant_log_loss: what guessing reaches by the metric, and the constant predictor by log loss in nats.
    """
    found = []
    n_train, n_pool = cell.name[1], sum(class_rows_in_pool)
    e = cell.estimates[metric]
    if cell.info["status"] != "ok":
        found.append(f"{cell.info['status']}: {cell.info['reason']}")
    n_fits = len(cell.own[metric].values)
    if e.n_replicates < n_fits:
        found.append(f"{n_fits - e.n_replicates} of {n_fits} replicates have no usable fit")
    if 0 < e.n_replicates < MIN_REPLICATES:
        found.append(f"{e.n_replicates} replicates say next to nothing about their spread")
    log_loss = cell.estimates["log_loss"].mean
    if log_loss >= constant_log_loss:
        found.append(f"log loss {log_loss:.4f} is no better than the constant predictor's {constant_log_loss:.4f}")
    p_chance = e.p_below(chance) if is_loss else e.p_above(chance)
    if e.n_replicates > 1 and p_chance > 0.05:
        found.append(f"{e.mean:.4f} is not surely better than chance, {chance:.4f}")
    rare = [
        name for name, rows in zip(class_names, class_rows_in_pool, strict=True) if rows * n_train / n_pool < 1
    ]  # fmt: skip
    if rare:
        found.append(f"hardly a row among the {n_train} labels is of class {', '.join(map(repr, rare[:3]))}")
    if cell.name[0] in failing:
        n_failed, n_fits = failing[cell.name[0]]
        found.append(
            f"{n_failed} of {n_fits} fits of this learner lie far below its others: bands hold no rare failures"
        )
    n_groups = e.n_groups
    if n_groups < min(LEAST_GROUPS, n_test):
        found.append(f"the test rows come in {n_groups} groups: bands of so few are a little too narrow")
    wrong = cell.estimates["error"].mean * n_test
    if wrong < LEAST_WRONG:
        found.append(f"{wrong:.1f} of {n_test} test rows are wrong: so few say little of the next test set")
    if n_train > n_pool / 2:
        shared = f"share about {n_train / n_pool:.0%} of their rows" if n_train < n_pool else "are the whole pool"
        found.append(f"any two replicates {shared}; how much draws vary is extrapolated from smaller sizes")
    return found


def split_rows(cell: Cell, metric: str) -> Json | None:
    """The crossed variances of a cell as standard deviations in units of the metric; None where nothing was crossed."""
    if metric not in cell.splits:
        return None
    split = cell.splits[metric]
    parts = {"draw": split.draw, "initialisation": split.initialisation, "residual": split.residual, "test": split.test}
    return {"learner": cell.name[0], "n_train": cell.name[1]} | {
        key: float(np.sqrt(variance)) for key, variance in parts.items()
    }


def kept_scores(cells: Sequence[Cell], metric: str, sign: int) -> dict[CellName, Scores]:
    """The scores of all cells by one metric, times the sign."""
    found: dict[CellName, Scores] = {}
    for cell in cells:
        values: Array = cell.own[metric].values
        found[cell.name] = Scores(sign * values, sign * cell.own[metric].shares)
    return found
