"""Forecasts of every learner's curve, each graded by hiding its last doublings: the rows of forecast.csv."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.common.artefacts import Json
from stages.contract.advice import Until
from stages.evaluate.laws import MIN_POINTS, Curve
from stages.evaluate.metrics import Metric
from stages.evaluate.study import Study
from stages.evaluate.sums import Array

FACTORS = (2, 4, 8)  # times the largest size: how far a forecast looks ahead, and how much a backtest hides
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
REACH = 64  # times the largest size: beyond it a number of labels is called not within reach
COLUMNS = ["learner", "metric", "n_train", "kind", "predicted", "low80", "high80", "low95", "high95",
           "largest_seen", "measured"]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A learner's curve as losses, see Metric.loss.

    n_train, loss: (n_sizes,); errors: (n_sizes,) standard errors from the replicates.
    """

    learner: str
    n_train: Array
    loss: Array
    errors: Array

    def until(self, n_train: float) -> Curve:
        """The curve up to a size; ValueError where that is too little to forecast from."""
        seen = self.n_train <= n_train
        return Curve(self.n_train[seen], self.loss[seen], self.errors[seen])


def measured_curves(study: Study) -> list[Measured]:
    """Every learner's usable cells by size; those with fewer than two usable replicates are left out."""
    found = []
    for learner in dict.fromkeys(name for name, _ in study.cells):
        sizes = sorted(n for name, n in study.cells if name == learner and study.is_known((name, n)))
        estimates = [study.estimate({(learner, n): 1}) for n in sizes]
        values = np.array([e.mean for e in estimates])
        errors = np.sqrt([e.replicate_variance for e in estimates])
        found.append(Measured(learner, np.array(sizes, dtype=np.float64), study.metric.loss(values), errors))
    return found


def forecast_rows(curve: Measured, metric: Metric) -> list[Json]:
    """Fitted values, forecasts at FACTORS times the largest size, and backtests with as much hidden.

    A backtest predicts the largest measured size from the sizes up to that nearest to 1 / factor of it. Curves that are
    too short, or reach a loss of 0, have no rows.
    """
    rows: list[Json] = []
    try:
        whole = curve.until(np.inf)
    except ValueError:
        return rows
    last = curve.n_train[-1]

    def add(kind: str, fit: Curve, sizes: Array, measured: Sequence[float | None], noise: float = 0.0) -> None:
        for n, quantiles, value in zip(sizes, fit.quantiles(sizes, LEVELS, noise), measured, strict=True):
            low95, low80, middle, high80, high95 = quantiles if metric.is_loss else metric.of_loss(quantiles[::-1])
            truth = None if value is None else float(metric.of_loss(value))
            values = {"predicted": middle, "low80": low80, "high80": high80, "low95": low95, "high95": high95}
            rows.append(
                {"learner": curve.learner, "metric": metric.name, "n_train": round(float(n)), "kind": kind}
                | {key: float(value) for key, value in values.items()}
                | {"largest_seen": round(float(fit.x[-1])), "measured": truth}
            )

    add("fitted", whole, curve.n_train, list(curve.loss))
    add("forecast", whole, last * np.array(FACTORS, dtype=np.float64), [None] * len(FACTORS))
    earlier = np.log(curve.n_train[:-1])
    nearest = {1 + int(np.abs(earlier - np.log(last / factor)).argmin()) for factor in FACTORS}
    for n in sorted(nearest, reverse=True):  # sizes need not be doublings: no fit twice
        if n >= MIN_POINTS:
            noise = float(curve.errors[n - 1] / curve.loss[n - 1])  # what a backtest is graded on is a measurement
            add("backtest", curve.until(curve.n_train[n - 1]), np.array([last]), [curve.loss[-1]], noise)
    return rows


def grades(rows: Sequence[Json], metric: Metric) -> list[Json]:
    """By factor hidden: the mean |log error| of the loss over learners, that of the last value, and coverage.

    The last value, the plain guess that nothing changes any more, stands beside for comparison.
    """
    found: list[Json] = []
    losses = {(row["learner"], row["n_train"]): metric.of_loss(row["measured"]) for row in rows
              if row["kind"] == "fitted" and row["metric"] == metric.name}  # fmt: skip
    tests = [row for row in rows if row["kind"] == "backtest" and row["metric"] == metric.name]
    for factor in sorted({round(row["n_train"] / row["largest_seen"], 3) for row in tests}):
        of_factor = [row for row in tests if round(row["n_train"] / row["largest_seen"], 3) == factor]
        truths = [np.log(metric.of_loss(row["measured"])) for row in of_factor]
        misses = [abs(np.log(metric.of_loss(row["predicted"])) - truth)
                  for row, truth in zip(of_factor, truths, strict=True)]  # fmt: skip
        flat = [abs(np.log(losses[row["learner"], row["largest_seen"]]) - truth)
                for row, truth in zip(of_factor, truths, strict=True)]  # fmt: skip
        found.append({
            "factor": factor, "n_forecasts": len(of_factor), "mean_log_error": float(np.mean(misses)),
            "last_value_log_error": float(np.mean(flat)),
            "covered80": sum(row["low80"] <= row["measured"] <= row["high80"] for row in of_factor),
            "covered95": sum(row["low95"] <= row["measured"] <= row["high95"] for row in of_factor),
        })  # fmt: skip
    return found


def labels_until(curve: Measured, loss: float) -> Until:
    """How many labels until the learner's loss is down to `loss`, with an 80 % interval.

    Where a measured mean is there already, the first such size. An end of the interval, or the number itself, is None
    where it lies beyond REACH times the largest size: not within reach. `not_forecast` says why there is no forecast.
    """
    reached = curve.n_train[curve.loss <= loss]
    if len(reached):
        n = round(float(reached[0]))
        return Until(learner=curve.learner, is_measured=True, n_labels=n, low80=n, high80=n)
    labels: Json = {"n_labels": None, "low80": None, "high80": None}
    try:
        fit = curve.until(np.inf)
    except ValueError as error:
        return Until(learner=curve.learner, is_measured=False, **labels, not_forecast=str(error))
    multiples = np.geomspace(1, REACH, 49)  # eighths of a doubling
    quantiles = fit.quantiles(curve.n_train[-1] * multiples, (0.1, 0.5, 0.9))
    for key, path in zip(("low80", "n_labels", "high80"), quantiles.T, strict=True):
        below = np.flatnonzero(path <= loss)
        if len(below):
            labels[key] = round(float(curve.n_train[-1] * multiples[below[0]]))
    return Until(learner=curve.learner, is_measured=False, **labels)
