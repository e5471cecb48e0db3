"""Read the declared grid's predictions and the test labels; write curves, verdicts, forecasts, advice, the answer."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stages.common import artefacts, params
from stages.common.artefacts import FEATURES, PREPARED, RESULTS, Json
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.params import Grid as GridParams
from stages.evaluate import claims, curves, forecast, shapes
from stages.evaluate.advice import advise
from stages.evaluate.answer import answer_lines
from stages.evaluate.costs import costs_of
from stages.evaluate.curves import Cell
from stages.evaluate.estimates import CellName, Scores, Study
from stages.evaluate.metrics import HIGHER_IS_BETTER, LABELS, METRICS, chance, constant_values
from stages.evaluate.params import Advice, AdviceRules, Evaluate, Metric


def main() -> None:
    grid = params.load(GridParams, "grid")
    rules, of_advice = params.load(Evaluate, "evaluate"), params.load(Advice, "advice")
    metric = params.load(Metric, "dataset").metric
    is_loss = not HIGHER_IS_BETTER[metric]
    check_grid(grid)
    artefacts.prune(grid.learners, grid.sizes)  # DVC records all that lies there when this ends
    card = artefacts.load_json(PREPARED / "dataset.json")
    labels = np.array(artefacts.load_array(PREPARED / "test_labels.npy"))
    class_rows: list[int] = card["pool_class_rows"]
    n_pool = sum(class_rows)

    # Error is forecast beside the metric of the picture, unless that is the same curve.
    forecast_metrics: list[str] = [metric] if metric in ("error", "accuracy") else [metric, "error"]
    groups = load_groups(card)
    cells = [
        load_cell(learner, n_train, labels, groups, forecast_metrics)
        for learner in grid.learners
        for n_train in grid.sizes
    ]
    cells = curves.widened(cells, n_pool)
    studies = {name: study_of(cells, name, n_pool) for name in forecast_metrics}
    study = studies[metric]
    resamples = study.resamples(rules.n_resamples, rules.seed)
    networks = frozenset(cell.name[0] for cell in cells if cell.info["kind"] == "network")
    constant = constant_values(labels, np.array(class_rows) / n_pool)
    by_guessing = {name: chance(name, len(class_rows)) for name in METRICS}
    left = by_guessing[metric] if is_loss else 1 - by_guessing[metric]
    smallest_gain = rules.smallest_share * left if rules.smallest_gain is None else rules.smallest_gain
    shape = claims.Grid(grid.learners, grid.sizes, networks, smallest_gain)
    advice_rules = AdviceRules(**of_advice.model_dump(), min_gain=smallest_gain)
    with_tuning = replace(
        study, cells={**study.cells, **tuning_of(rules.claims.networks, cells, labels, groups, metric)}
    )
    verdicts = [claim.to_json() for claim in claims.tested(with_tuning, shape, rules.claims, resamples)]
    measured = {name: forecast.measured_curves(studies[name], not HIGHER_IS_BETTER[name]) for name in studies}
    forecasts = forecasts_of(measured)
    recipe = [name for name in rules.claims.networks if name in grid.learners]
    simple = rules.claims.simple
    n_parameters = {c.name: float(np.mean(c.info["n_parameters"])) for c in cells if c.info["n_parameters"]}
    advised = advise(study, is_loss, measured[metric], recipe, simple, resamples, n_parameters, n_pool, advice_rules)
    advice = advised.report
    timings = {cell.name: artefacts.load_json(artefacts.timing_path(*cell.name)) for cell in cells}
    tuning = {name: artefacts.load_json(artefacts.tuning_timing_path(name)) for name in grid.learners}
    found: Json = {
        "last_steps": shapes.last_steps(study, shape, rules.confidence),
        "overtakes": shapes.overtakes(shape, resamples, rules.confidence),
        "ill_behaved": shapes.ill_behaved(study, shape, rules.claims.alpha),
        "variance": [split for cell in cells if (split := curves.split_rows(cell, metric))],
        "backtests": forecast.grades(forecasts, metric, is_loss),
    }
    shown = [
        shown_cell(cell, metric, by_guessing[metric], constant["log_loss"], card, study, len(labels)) for cell in cells
    ]
    rows = [row for cell in cells for row in curves.curve_rows(cell, rules.confidence)]
    of_classes = [row for cell in cells for row in curves.class_rows(cell, card["classes"], rules.confidence)]
    summary: Json = {
        "dataset": card["name"], "split": card["split"]["how"],
        "metric": metric, "metric_label": LABELS[metric], "higher_is_better": not is_loss,
        "confidence": rules.confidence, "smallest_gain": smallest_gain, "chance": by_guessing, "constant": constant,
        "learners": headline(rows, metric, grid),
        "verdicts": {claim["id"]: claim["verdict"] for claim in verdicts},
        "advice": advice["answer"],
    }  # fmt: skip

    artefacts.save_csv(RESULTS / "curves.csv", rows, curves.COLUMNS)
    artefacts.save_csv(RESULTS / "classes.csv", of_classes, curves.CLASS_COLUMNS)
    artefacts.save_csv(RESULTS / "forecast.csv", forecasts, forecast.COLUMNS)
    artefacts.save_json(RESULTS / "claims.json", verdicts)
    artefacts.save_json(RESULTS / "shapes.json", found)
    artefacts.save_json(RESULTS / "advice.json", advice)
    artefacts.save_json(RESULTS / "costs.json", costs_of(advised, timings, tuning, advice_rules))
    artefacts.save_json(RESULTS / "hashes.json", hashes_of(grid))
    artefacts.save_json(RESULTS / "cells.json", shown)
    artefacts.save_json(RESULTS / "metrics.json", summary)
    lines = answer_lines(summary, verdicts, found, advice, shown)
    artefacts.save_text(RESULTS / "answer.txt", "\n".join(lines) + "\n")


def check_grid(grid: GridParams) -> None:
    """Raises InputError naming the cells of the grid that have no predictions."""
    cells = [(learner, n_train) for learner in grid.learners for n_train in grid.sizes]
    missing = [f"{learner}-{n}" for learner, n in cells if not artefacts.cell_path(learner, n).is_dir()]
    if missing:
        names = ", ".join(missing[:5])
        raise InputError(f"{len(missing)} cells of the grid have no predictions ({names}); run `dvc repro`")


def load_groups(card: Mapping[str, Json]) -> NDArray[np.int64] | None:
    """The groups, or blocks of time, of the test rows, numbered from 0; None where rows come alone."""
    if not card["split"]["is_grouped"]:
        return None
    return np.unique(artefacts.load_array(FEATURES / "test_groups.npy"), return_inverse=True)[1].astype(np.int64)


def load_cell(
    learner: str, n_train: int, labels: NDArray[np.int64], groups: NDArray[np.int64] | None, kept: list[str]
) -> Cell:
    folder = artefacts.cell_path(learner, n_train)
    info = artefacts.load_json(folder / "cell.json")
    return curves.measure(artefacts.load_predictions(folder), labels, groups, info, kept)


def study_of(cells: list[Cell], metric: str, n_pool: int) -> Study:
    """All cells by one metric, signed so that higher is better."""
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    scores = curves.kept_scores(cells, metric, sign)
    return Study(scores, n_pool, curves.crossed_of(cells, metric, sign))


def tuning_of(
    networks: list[str], cells: list[Cell], labels: NDArray[np.int64], groups: NDArray[np.int64] | None, metric: str
) -> dict[CellName, Scores]:
    """The largest network with the rows that settings competed on: as each draw's choice has it, and as the setting
    listed first has it; nothing where no size above made it tune once."""
    name = next((n for n in reversed(networks) if any(cell.name[0] == n for cell in cells)), "")
    paths = [artefacts.tuning_path(name, cell.name[1]) for cell in cells if cell.name[0] == name]
    chosen = [artefacts.load_json(path) for path in paths if path.is_file()]
    tuned = next((content for content in chosen if content.get("status") == "ok"), None)
    if tuned is None:
        return {}
    competed = artefacts.load_predictions(artefacts.TUNING / name)  # (n_draws, n_settings, n_test, n_classes)
    n_train = cells[0].info["budget"]["tuning_rows"]
    taken = {claims.TUNED: competed[np.arange(len(competed)), tuned["choices"]], claims.LISTED_FIRST: competed[:, 0]}
    return {(f"{name}{how}", n_train): curves.scores_of(p, labels, groups, metric) for how, p in taken.items()}


def forecasts_of(measured: Mapping[str, list[forecast.Measured]]) -> list[Json]:
    """The rows of forecast.csv; measured: the learners' curves by metric."""
    return [
        row
        for metric, of_metric in measured.items()
        for curve in of_metric
        for row in forecast.forecast_rows(curve, metric, not HIGHER_IS_BETTER[metric])
    ]


def shown_cell(
    cell: Cell, metric: str, by_guessing: float, constant_log_loss: float, card: Json, study: Study, n_test: int
) -> Json:
    """A cell's entry in cells.json: what was run, on what, and its marks."""
    is_loss = not HIGHER_IS_BETTER[metric]
    marks = curves.marks(
        cell, metric, is_loss, by_guessing, constant_log_loss, card["pool_class_rows"], card["classes"],
        study.spread.failing, n_test,
    )  # fmt: skip
    return cell.info | {"marks": marks}


def hashes_of(grid: GridParams) -> Json:
    """SHA-256 of each cell's files, for whoever trains anew without the remote."""
    return {
        learner: {str(n): artefacts.sha256_of(artefacts.cell_path(learner, n)) for n in grid.sizes}
        for learner in grid.learners
    }


def headline(rows: list[Json], metric: str, grid: GridParams) -> Json:
    """Per learner: mean and band at the grid's largest size; values are None where the cell has no usable fit."""
    last = {row["learner"]: row for row in rows if row["metric"] == metric and row["n_train"] == grid.sizes[-1]}
    return {name: {key: last[name][key] for key in ("n_train", "mean", "low", "high")} for name in grid.learners}


if __name__ == "__main__":
    run(main)
