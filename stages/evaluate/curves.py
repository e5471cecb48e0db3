"""Learning curves: the mean over replicates and its band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from stages.common.artefacts import Json
from stages.evaluate.metrics import METRICS

COLUMNS = [
    "learner", "n_train", "metric", "mean", "low", "high", "n_replicates", "n_parameters", "train_flops", "fit_seconds",
]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One learner at one size: probabilities (n_replicates, n_test, n_classes), NaN where a replicate has no fit."""

    learner: str
    n_train: int
    probabilities: NDArray[np.float32]
    info: Json  # cell.json
    timing: Json  # timing.json


def band(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """Mean, lower and upper end of the t interval of the mean; the ends are NaN for fewer than two values."""
    mean = float(np.mean(values)) if len(values) else np.nan
    if len(values) < 2:
        return mean, np.nan, np.nan
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def curve_rows(cell: Cell, labels: NDArray[np.int64], confidence: float) -> list[Json]:
    """The rows of curves.csv for one cell, one a metric; replicates without a usable fit are not counted."""
    usable = [p for p in cell.probabilities if np.isfinite(p).all()]
    shared: Json = {"learner": cell.learner, "n_train": cell.n_train, "n_replicates": len(usable)}
    shared["fit_seconds"] = cell.timing["fit_seconds"]
    for key in ("n_parameters", "train_flops"):
        shared[key] = float(np.mean(cell.info[key])) if cell.info[key] else None
    rows = []
    for name, metric in METRICS.items():
        values = band([metric(labels, p) for p in usable], confidence)
        ends = {
            key: None if np.isnan(value) else value for key, value in zip(("mean", "low", "high"), values, strict=True)
        }
        rows.append(shared | {"metric": name} | ends)
    return rows


def marks(cell: Cell, rows: list[Json], constant_log_loss: float, n_pool: int) -> list[str]:
    """What a reader must know of a cell before trusting it; empty where there is nothing.

    rows: those of curve_rows; constant_log_loss: of the constant predictor on the test rows, in nats.
    """
    found = []
    if cell.info["status"] != "ok":
        found.append(f"{cell.info['status']}: {cell.info['reason']}")
    if cell.n_train > n_pool / 2:
        share = f"{cell.n_train / n_pool:.0%}"
        found.append(f"any two replicates share about {share} of their rows: the band is too narrow")
    log_loss = next(row["mean"] for row in rows if row["metric"] == "log_loss")
    if log_loss is not None and log_loss >= constant_log_loss:
        found.append(f"log loss {log_loss:.4f} is no better than the constant predictor's {constant_log_loss:.4f}")
    n_missing = len(cell.probabilities) - rows[0]["n_replicates"]
    if n_missing:
        found.append(f"{n_missing} of {len(cell.probabilities)} replicates have no usable fit")
    return found
