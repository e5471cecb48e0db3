"""Cells measured by every metric, and the rows they become: curves.csv, classes.csv."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stages.common.artefacts import Json
from stages.contract import cell as contract
from stages.evaluate.crossing import Crossed, mean_squares
from stages.evaluate.estimates import Estimate, Scores, Split, estimate, square_of, variance_split
from stages.evaluate.metrics import METRICS, Metric
from stages.evaluate.spread import Spread
from stages.evaluate.sums import Array, CellName

COLUMNS = [
    "learner", "n_train", "metric", "mean", "low", "high", "n_replicates", "n_parameters", "train_flops",
]  # fmt: skip
CLASS_COLUMNS = ["learner", "n_train", "class", "metric", "mean", "low", "high", "n_replicates"]


@dataclass(frozen=True)
class OfClass:
    """Of one class: values (n_replicates,), inner products of shares (n_replicates, n_replicates), and the estimate."""

    values: Array
    products: Array
    estimate: Estimate


@dataclass(frozen=True)
class Cell:
    """One learner at one size, measured on the test rows.

    own: the scores by metric, signed so that higher is better, of the replicates that pair a draw with its own
    initialisation; products: the inner products of their shares; splits: by metric how the variance splits, where draws
    and initialisations were crossed, and squares the fits there;
    classes: (class, metric) -> its scores, the inner products of their shares, and the estimate.
    """

    name: CellName
    own: Mapping[str, Scores]
    estimates: Mapping[str, Estimate]
    products: Mapping[str, Array]
    classes: Mapping[tuple[int, str], OfClass]
    splits: Mapping[str, Split]
    squares: Mapping[str, Crossed]
    info: contract.Cell


def measure(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    info: contract.Cell,
    kept: Sequence[str],
) -> Cell:
    """A cell by every metric; shares of test rows are kept for the metrics named in `kept` alone.

    probabilities: (n_fits, n_test, n_classes), NaN where a fit is not usable, in the order of info.replicates.
    """
    draws = np.array([fit.draw for fit in info.replicates], dtype=np.int64)
    inits = np.array([fit.initialisation for fit in info.replicates], dtype=np.int64)
    is_own = np.equal(draws, inits)
    is_usable = np.asarray(np.isfinite(probabilities).all(axis=(1, 2)))
    filled = np.where(is_usable[:, None, None], probabilities, 1 / probabilities.shape[2])
    own, estimates, products, classes, splits, squares = {}, {}, {}, {}, {}, {}
    for metric, known in METRICS.items():
        values, influences = known.measure(labels, filled)
        scores = Scores.of(np.where(is_usable, values, np.nan), influences, groups)
        of_own = Scores(scores.values[is_own], scores.shares[is_own])
        estimates[metric] = _estimate(of_own)
        own[metric], products[metric] = _signed(of_own, known, metric in kept), of_own.shares @ of_own.shares.T
        if (split := variance_split(scores.values, scores.shares, draws, inits)) is not None:
            splits[metric] = split
            squares[metric] = _crossed(scores, known, metric in kept, draws, inits, info.n_train)
    n_classes = probabilities.shape[2]
    for k in range(n_classes):
        for metric, known in METRICS.items():
            has_both = 0 < (labels == k).sum() < len(labels)
            if known.of_class is not None and has_both and (n_classes > 2 or metric == "error"):
                values, influences = known.of_class(k, labels, filled[is_own])
                scores = Scores.of(np.where(is_usable[is_own], values, np.nan), influences, groups)
                classes[k, metric] = OfClass(scores.values, scores.shares @ scores.shares.T, _estimate(scores))
    return Cell((info.learner, info.n_train), own, estimates, products, classes, splits, squares, info)


def evened(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with as many replicates each as the one with the most, the same first: where a size has fewer, the
    others count as not usable, so that sums of cells are paired by those that all of them have."""
    n_most = max(len(scores.values) for cell in cells for scores in cell.own.values())

    def square(products: Array) -> Array:
        return np.pad(products, (0, n_most - len(products)))

    def of_class(of: OfClass) -> OfClass:
        values = np.pad(of.values, (0, n_most - len(of.values)), constant_values=np.nan)
        return replace(of, values=values, products=square(of.products))

    return [
        replace(
            cell,
            own={metric: scores.padded(n_most) for metric, scores in cell.own.items()},
            products={metric: square(products) for metric, products in cell.products.items()},
            classes={key: of_class(of) for key, of in cell.classes.items()},
        )
        for cell in cells
    ]


def scores_of(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64] | None, metric: Metric
) -> Scores:
    """Signed so that higher is better; probabilities: (n_fits, n_test, n_classes), NaN where a fit is not usable."""
    is_usable = np.asarray(np.isfinite(probabilities).all(axis=(1, 2)))
    filled = np.where(is_usable[:, None, None], probabilities, 1 / probabilities.shape[2])
    values, influences = metric.measure(labels, filled)
    return _signed(Scores.of(np.where(is_usable, values, np.nan), influences, groups), metric, True)


def _signed(scores: Scores, metric: Metric, has_shares: bool) -> Scores:
    """So that higher is better."""
    shares = metric.signed(scores.shares) if has_shares else np.zeros((len(scores.values), 0))
    return Scores(metric.signed(scores.values), shares)


def _crossed(
    scores: Scores, metric: Metric, is_kept: bool, draws: NDArray[np.int64], inits: NDArray[np.int64], n_train: int
) -> Crossed:
    square = square_of(scores.values, scores.shares, draws, inits)
    assert square is not None
    values, shares = square
    kept = metric.signed(shares) if is_kept else shares[:, :, :0]
    return Crossed(n_train, metric.signed(values), kept, mean_squares(shares))


def _estimate(scores: Scores) -> Estimate:
    return estimate(scores.values[scores.is_usable], scores.shares[scores.is_usable])


def widened(cells: Sequence[Cell], n_pool: int) -> list[Cell]:
    """The cells with their estimates' variance of replicates as `spread` has it from all of them together."""
    spreads = {
        metric: Spread(
            {cell.name: cell.own[metric].values for cell in cells}, n_pool, crossed_of(cells, metric),
            products={cell.name: cell.products[metric] for cell in cells},
        )
        for metric in METRICS
    }  # fmt: skip
    keys = list(dict.fromkeys(key for cell in cells for key in cell.classes))
    of_classes = {
        key: Spread(
            {cell.name: cell.classes[key].values for cell in cells if key in cell.classes}, n_pool,
            products={cell.name: cell.classes[key].products for cell in cells if key in cell.classes},
        )
        for key in keys
    }  # fmt: skip

    def over_fresh_draws(e: Estimate, spread: Spread, name: CellName) -> Estimate:
        variance = spread.of({name: 1.0})
        if variance is None or e.n_replicates < 2:
            return e
        return replace(
            e,
            replicate_variance=variance.of_mean(e.n_replicates),
            replicate_degrees_of_freedom=variance.degrees_of_freedom,
        )

    return [
        replace(
            cell,
            estimates={m: over_fresh_draws(e, spreads[m], cell.name) for m, e in cell.estimates.items()},
            classes={key: replace(of, estimate=over_fresh_draws(of.estimate, of_classes[key], cell.name))
                     for key, of in cell.classes.items()},
        )
        for cell in cells
    ]  # fmt: skip


def crossed_of(cells: Sequence[Cell], metric: str) -> dict[str, Crossed]:
    """Of each learner the fits at the smallest size at which draws and initialisations were crossed."""
    last_first = sorted(cells, key=lambda cell: -cell.name[1])
    return {cell.name[0]: cell.squares[metric] for cell in last_first if metric in cell.squares}


def curve_rows(cell: Cell, confidence: float) -> list[Json]:
    """The rows of curves.csv for one cell, one per metric; replicates without a usable fit are not counted."""
    learner, n_train = cell.name
    shared: Json = {"learner": learner, "n_train": n_train}
    for key, values in {"n_parameters": cell.info.n_parameters, "train_flops": cell.info.train_flops}.items():
        shared[key] = float(np.mean(values)) if values else None
    return [shared | {"metric": metric} | _band(e, confidence, metric) for metric, e in cell.estimates.items()]


def class_rows(cell: Cell, names: Sequence[str], confidence: float) -> list[Json]:
    """The rows of classes.csv for one cell: error of a class's own rows, and ROC AUC against the rest beyond two."""
    learner, n_train = cell.name
    return [
        {"learner": learner, "n_train": n_train, "class": names[k], "metric": metric}
        | _band(of.estimate, confidence, metric)
        for (k, metric), of in cell.classes.items()
    ]


def _band(of_metric: Estimate, confidence: float, metric: str) -> Json:
    low, high = of_metric.interval(confidence) if of_metric.n_replicates > 1 else (np.nan, np.nan)
    ends = {"mean": of_metric.mean, "low": max(low, 0.0), "high": min(high, METRICS[metric].highest)}
    return {key: float(value) if np.isfinite(value) else None for key, value in ends.items()} | {
        "n_replicates": of_metric.n_replicates
    }


def split_rows(cell: Cell, metric: str) -> Json | None:
    """The crossed variances of a cell as standard deviations in units of the metric; None where nothing was crossed."""
    if metric not in cell.splits:
        return None
    split = cell.splits[metric]
    parts = {"draw": split.draw, "initialisation": split.initialisation, "residual": split.residual, "test": split.test}
    return {"learner": cell.name[0], "n_train": cell.name[1]} | {
        key: float(np.sqrt(variance)) for key, variance in parts.items()
    }
