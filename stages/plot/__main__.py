"""Draw the figures and write the report from what `evaluate` measured."""

from stages.common import artefacts, params
from stages.common.artefacts import FIGURES, PREPARED, RESULTS
from stages.common.command import run
from stages.common.records import load_records
from stages.contract.advice import Advice
from stages.contract.cells import MeasuredCell
from stages.contract.claims import Claim
from stages.contract.costs import Costs
from stages.contract.dataset import Dataset
from stages.plot import figures
from stages.plot.params import Plot
from stages.plot.report import Written, render
from stages.plot.results import Results
from stages.plot.tables import class_table, forecast_table, table


def main() -> None:
    plot = params.load(Plot, "plot")
    summary = artefacts.load_json(RESULTS / "metrics.json")
    written = Written(
        load_records(PREPARED / "dataset.json", Dataset),
        load_records(RESULTS / "cells.json", list[MeasuredCell]),
        load_records(RESULTS / "claims.json", list[Claim]),
        load_records(RESULTS / "advice.json", Advice),
        load_records(RESULTS / "costs.json", Costs),
    )
    results = Results(
        artefacts.load_csv(RESULTS / "curves.csv"), artefacts.load_csv(RESULTS / "forecast.csv"),
        frozenset((cell.learner, cell.n_train) for cell in written.cells if cell.marks),
        summary["metric"], summary["metric_label"], summary["chance"], summary["constant"],
    )  # fmt: skip
    drawn = {}
    for name, (title, draw) in figures.ALL.items():
        svg = draw(results, plot)
        artefacts.save_text(FIGURES / f"{name}.svg", svg)
        drawn[name] = (title.format(metric=results.label), svg)
    more = {
        "answer": artefacts.load_text(RESULTS / "answer.txt"),
        "summary": summary,
        "shapes": artefacts.load_json(RESULTS / "shapes.json"),
        "forecasts": forecast_table(results.forecasts, results.metric),
        "classes": class_table(artefacts.load_csv(RESULTS / "classes.csv"), results.sizes),
    }
    page = render(drawn, table(results, plot), results.sizes, written, more)
    artefacts.save_text(RESULTS / "report.html", page)


if __name__ == "__main__":
    run(main)
