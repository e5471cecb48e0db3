"""Read the declared grid's predictions and the test labels; write curves, cells, headline numbers and the answer."""

import numpy as np

from stages.common import artefacts, params
from stages.common.artefacts import PREPARED, RESULTS, Json
from stages.common.errors import InputError, run
from stages.common.params import Grid
from stages.evaluate.answer import answer_lines, headline
from stages.evaluate.curves import COLUMNS, Cell, curve_rows, marks
from stages.evaluate.metrics import HIGHER_IS_BETTER, LABELS, METRICS, chance, constant_predictions
from stages.evaluate.params import Evaluate, Metric


def main() -> None:
    grid = params.load(Grid, "grid")
    confidence = params.load(Evaluate, "evaluate").confidence
    metric = params.load(Metric, "dataset").metric
    card = artefacts.load_json(PREPARED / "dataset.json")
    labels = np.array(artefacts.load_array(PREPARED / "test_labels.npy"))
    check_grid(grid)

    shares = np.array(card["pool_class_rows"]) / sum(card["pool_class_rows"])
    constant = {name: measure(labels, constant_predictions(labels, shares)) for name, measure in METRICS.items()}
    rows: list[Json] = []
    cells: list[Json] = []
    for learner in grid.learners:
        for n_train in grid.sizes:
            cell = load_cell(learner, n_train)
            measured = curve_rows(cell, labels, confidence)
            host = cell.timing["host"]
            rows += measured
            cells.append(cell.info | {"processor": host["processor"], "cores": host["cores"]})
            cells[-1]["marks"] = marks(cell, measured, constant["log_loss"], card["rows"]["pool"])
    summary = headline(rows, metric, grid)

    artefacts.save_csv(RESULTS / "curves.csv", rows, COLUMNS)
    artefacts.save_json(RESULTS / "cells.json", cells)
    artefacts.save_json(RESULTS / "metrics.json", {
        "dataset": card["name"], "split": card["split"]["how"],
        "metric": metric, "metric_label": LABELS[metric], "higher_is_better": HIGHER_IS_BETTER[metric],
        "confidence": confidence,
        "chance": {name: chance(name, len(shares)) for name in METRICS},
        "constant": constant,
        "learners": summary,
    })  # fmt: skip
    artefacts.save_text(RESULTS / "answer.txt", "\n".join(answer_lines(summary, metric, cells)) + "\n")


def check_grid(grid: Grid) -> None:
    """Raises InputError naming the cells of the grid that have no predictions."""
    cells = [(learner, n_train) for learner in grid.learners for n_train in grid.sizes]
    missing = [f"{learner}-{n}" for learner, n in cells if not artefacts.cell_path(learner, n).is_dir()]
    if missing:
        names = ", ".join(missing[:5])
        raise InputError(f"{len(missing)} cells of the grid have no predictions ({names}); run `dvc repro`")


def load_cell(learner: str, n_train: int) -> Cell:
    folder = artefacts.cell_path(learner, n_train)
    info, timing = artefacts.load_json(folder / "cell.json"), artefacts.load_json(folder / "timing.json")
    own = [pair["draw"] == pair["initialisation"] for pair in info["replicates"]]  # the others cross the two
    return Cell(learner, n_train, artefacts.load_predictions(folder)[own], info, timing)


if __name__ == "__main__":
    run(main)
