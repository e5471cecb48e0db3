"""The report's tables as rows of text."""

import math
from collections.abc import Sequence

from stages.common.artefacts import Json
from stages.plot.figures import styles
from stages.plot.params import Plot
from stages.plot.results import Results, Row, number


def table(results: Results, plot: Plot) -> list[Json]:
    """One row per learner: its label, and mean and band at each size."""
    by_cell = {(row["learner"], int(row["n_train"])): row for row in results.rows if row["metric"] == results.metric}
    looks = styles(plot, results.learners)
    return [
        {"label": looks[name].label, "values": [_value(by_cell.get((name, n))) for n in results.sizes]}
        for name in results.learners
    ]


def forecast_table(rows: Sequence[Row], metric: str) -> list[Json]:
    """One row per learner: its forecasts ahead, and beside them its backtests."""
    found: list[Json] = []
    for learner in dict.fromkeys(row["learner"] for row in rows):
        of_learner = [row for row in rows if (row["learner"], row["metric"]) == (learner, metric)]
        kinds = {kind: [_shown(row) for row in of_learner if row["kind"] == kind] for kind in ("forecast", "backtest")}
        if kinds["forecast"]:
            found.append({"learner": learner} | kinds)
    return found


def _shown(row: Row) -> Json:
    values = {key: f"{float(row[key]):.4f}" for key in ("predicted", "low80", "high80", "low95", "high95")}
    measured = f"{float(row['measured']):.4f}" if row["measured"] else ""
    sizes = {key: int(row[key]) for key in ("n_train", "largest_seen")}
    return values | sizes | {"factor": f"{sizes['n_train'] / sizes['largest_seen']:.3g}", "measured": measured}


def class_table(rows: Sequence[Row], sizes: Sequence[int]) -> list[Json]:
    """One row per class, metric and learner: its values by size."""
    by_cell = {(row["class"], row["metric"], row["learner"], int(row["n_train"])): row for row in rows}
    keys = dict.fromkeys((row["class"], row["metric"], row["learner"]) for row in rows)
    return [
        {"class": name, "metric": metric, "learner": learner,
         "values": [_value(by_cell.get((name, metric, learner, n))) for n in sizes]}
        for name, metric, learner in keys
    ]  # fmt: skip


def _value(row: Row | None) -> dict[str, str]:
    if row is None or not row["mean"]:
        return {"mean": "no usable fit", "band": ""}
    mean, low, high = (number(row[key]) for key in ("mean", "low", "high"))
    return {"mean": f"{mean:.4f}", "band": "" if math.isnan(low) else f"{low:.4f} to {high:.4f}"}
