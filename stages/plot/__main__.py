"""Draw the figures and write the report from what `evaluate` measured."""

import math

from stages.common import artefacts, params
from stages.common.artefacts import FIGURES, PREPARED, RESULTS, Json
from stages.common.command import run
from stages.common.records import load_records
from stages.contract.advice import Advice
from stages.contract.cells import MeasuredCell
from stages.contract.claims import Claim
from stages.contract.costs import Costs
from stages.contract.dataset import Dataset
from stages.plot import figures
from stages.plot.figures import Curve
from stages.plot.params import Plot
from stages.plot.report import Found, render


def main() -> None:
    plot = params.load(Plot, "plot")
    rows = artefacts.load_csv(RESULTS / "curves.csv")
    summary = artefacts.load_json(RESULTS / "metrics.json")
    forecasts = artefacts.load_csv(RESULTS / "forecast.csv")
    found = Found(
        load_records(PREPARED / "dataset.json", Dataset),
        load_records(RESULTS / "cells.json", list[MeasuredCell]),
        load_records(RESULTS / "claims.json", list[Claim]),
        load_records(RESULTS / "advice.json", Advice),
        load_records(RESULTS / "costs.json", Costs),
    )
    metric, metric_label = summary["metric"], summary["metric_label"]
    marked = {(cell.learner, cell.n_train) for cell in found.cells if cell.marks}

    error_levels = levels(summary, "error")
    drawn = {
        "performance": figures.performance(
            curves(rows, metric, "n_train", marked), metric_label, levels(summary, metric), plot
        ),
        "error": figures.error_against_data(curves(rows, "error", "n_train", marked), error_levels, plot),
        "compute": figures.error_against_compute(curves(rows, "error", "train_flops", marked), error_levels, plot),
        "forecast": figures.forecast(
            curves(rows, metric, "n_train", marked),
            ahead(forecasts, metric),
            metric_label,
            levels(summary, metric),
            plot,
        ),
    }
    titles = {
        "performance": f"{metric_label} against the amount of data, with a band per learner",
        "error": "Error against the amount of data, both axes logarithmic",
        "compute": "Error against the compute of one final fit, both axes logarithmic",
        "forecast": f"{metric_label} measured, and forecast to 8 times the labels with 80 % intervals",
    }
    for name, svg in drawn.items():
        artefacts.save_text(FIGURES / f"{name}.svg", svg)
    sizes = sorted({int(row["n_train"]) for row in rows})
    embedded = {titles[name]: svg for name, svg in drawn.items()}
    more = {
        "answer": artefacts.load_text(RESULTS / "answer.txt"),
        "summary": summary,
        "shapes": artefacts.load_json(RESULTS / "shapes.json"),
        "forecasts": forecast_table(forecasts, metric),
        "classes": class_table(artefacts.load_csv(RESULTS / "classes.csv"), sizes),
    }
    page = render(embedded, table(rows, metric, sizes, plot), sizes, found, more)
    artefacts.save_text(RESULTS / "report.html", page)


def curves(rows: list[dict[str, str]], metric: str, x: str, marked: set[tuple[str, int]]) -> list[Curve]:
    """One curve a learner, in the order of the rows; cells without a mean or without x are left out."""
    found = []
    for learner in dict.fromkeys(row["learner"] for row in rows):
        points = [r for r in rows if r["learner"] == learner and r["metric"] == metric and r["mean"] and r[x]]
        if points:
            places, mean, low, high = ([_float(row[key]) for row in points] for key in (x, "mean", "low", "high"))
            is_marked = [(learner, int(row["n_train"])) in marked for row in points]
            found.append(Curve(learner, places, mean, low, high, is_marked))
    return found


def levels(summary: Json, metric: str) -> dict[str, float]:
    """What guessing and the constant predictor reach, by name."""
    return {"chance": summary["chance"][metric], "constant": summary["constant"][metric]}


def table(rows: list[dict[str, str]], metric: str, sizes: list[int], plot: Plot) -> list[Json]:
    """One row a learner: its label, and mean and band at each size."""
    by_cell = {(row["learner"], int(row["n_train"])): row for row in rows if row["metric"] == metric}
    learners = list(dict.fromkeys(row["learner"] for row in rows))
    looks = figures.styles(plot, learners)
    return [
        {"label": looks[name].label, "values": [_value(by_cell.get((name, n))) for n in sizes]} for name in learners
    ]


def ahead(rows: list[dict[str, str]], metric: str) -> list[Curve]:
    """Each learner's forecasts as a curve with its 80 % intervals; none for a learner without forecasts."""
    found = []
    for learner in dict.fromkeys(row["learner"] for row in rows):
        points = [r for r in rows if (r["learner"], r["metric"], r["kind"]) == (learner, metric, "forecast")]
        if points:
            x, mean, low, high = (
                [_float(row[k]) for row in points] for k in ("n_train", "predicted", "low80", "high80")
            )
            found.append(Curve(learner, x, mean, low, high, [False] * len(points)))
    return found


def forecast_table(rows: list[dict[str, str]], metric: str) -> list[Json]:
    """One row a learner: its forecasts ahead, and beside them its backtests."""
    found: list[Json] = []
    for learner in dict.fromkeys(row["learner"] for row in rows):
        of_learner = [row for row in rows if (row["learner"], row["metric"]) == (learner, metric)]
        kinds = {kind: [_shown(row) for row in of_learner if row["kind"] == kind] for kind in ("forecast", "backtest")}
        if kinds["forecast"]:
            found.append({"learner": learner} | kinds)
    return found


def _shown(row: dict[str, str]) -> Json:
    values = {key: f"{float(row[key]):.4f}" for key in ("predicted", "low80", "high80", "low95", "high95")}
    measured = f"{float(row['measured']):.4f}" if row["measured"] else ""
    sizes = {key: int(row[key]) for key in ("n_train", "largest_seen")}
    return values | sizes | {"factor": f"{sizes['n_train'] / sizes['largest_seen']:.3g}", "measured": measured}


def class_table(rows: list[dict[str, str]], sizes: list[int]) -> list[Json]:
    """One row a class, metric and learner: its values by size."""
    by_cell = {(row["class"], row["metric"], row["learner"], int(row["n_train"])): row for row in rows}
    keys = dict.fromkeys((row["class"], row["metric"], row["learner"]) for row in rows)
    return [
        {"class": name, "metric": metric, "learner": learner,
         "values": [_value(by_cell.get((name, metric, learner, n))) for n in sizes]}
        for name, metric, learner in keys
    ]  # fmt: skip


def _value(row: dict[str, str] | None) -> dict[str, str]:
    if row is None or not row["mean"]:
        return {"mean": "no usable fit", "band": ""}
    mean, low, high = (_float(row[key]) for key in ("mean", "low", "high"))
    return {"mean": f"{mean:.4f}", "band": "" if math.isnan(low) else f"{low:.4f} to {high:.4f}"}


def _float(text: str) -> float:
    return float(text) if text else math.nan


if __name__ == "__main__":
    run(main)
