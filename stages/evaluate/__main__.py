"""Read the declared grid's predictions and the test labels; write curves, verdicts, forecasts, advice, costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from stages.common import artefacts, params
from stages.common.artefacts import FEATURES, PREPARED, RESULTS, Json
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.params import Grid
from stages.common.records import load_records, save_records
from stages.contract import cell as contract
from stages.contract.cells import MeasuredCell
from stages.contract.claims import Claim
from stages.contract.dataset import Dataset
from stages.evaluate import claims, curves, forecast, roles, shapes
from stages.evaluate.advice import Advised, advise
from stages.evaluate.costs import costs_of
from stages.evaluate.curves import Cell
from stages.evaluate.estimates import Scores
from stages.evaluate.improve import with_ways
from stages.evaluate.marks import Data, marks
from stages.evaluate.metrics import METRICS, Metric, constant_values
from stages.evaluate.params import Advice, AdviceRules, Claims, Evaluate, OfPicture
from stages.evaluate.study import Study
from stages.evaluate.sums import CellName

Groups = NDArray[np.int64] | None


def main() -> None:
    threadpool_limits(1)  # else the last digits of sums follow the number of cores
    grid, rules, of_advice = params.load(Grid, "grid"), params.load(Evaluate, "evaluate"), params.load(Advice, "advice")
    metric = METRICS[params.load(OfPicture, "dataset").metric]
    check_grid(grid)
    artefacts.prune(grid.learners, grid.sizes)  # DVC records all that lies there when this ends
    card = load_records(PREPARED / "dataset.json", Dataset)
    labels, groups = np.array(artefacts.load_array(PREPARED / "test_labels.npy")), load_groups(card)
    shares = np.array(card.pool_class_rows) / sum(card.pool_class_rows)
    data = Data(card.classes, card.pool_class_rows, len(labels), constant_values(labels, shares))

    # Error is forecast beside the metric of the picture, unless that is the same curve.
    forecast_metrics = [metric] if metric.name in ("error", "accuracy") else [metric, METRICS["error"]]
    cells = curves.widened(curves.evened(load_cells(grid, labels, groups, forecast_metrics)), data.n_pool)
    of_claims = roles.resolved(rules.claims, [cell.info for cell in cells])
    tuning = tuning_of(of_claims.networks, cells, labels, groups, metric)
    study, *others = (study_of(cells, of, data, rules, tuning if of is metric else {}) for of in forecast_metrics)
    measured = {of.metric.name: forecast.measured_curves(of) for of in (study, *others)}
    forecasts = [row for name, of in measured.items() for curve in of
                 for row in forecast.forecast_rows(curve, METRICS[name])]  # fmt: skip
    advice_rules = AdviceRules(**of_advice.model_dump(), min_gain=study.smallest_gain)
    advised = advice_of(study, measured[metric.name], cells, data, of_claims, advice_rules)
    advice = with_ways(advised, study, of_claims, advice_rules)

    verdicts = claims.tested(study, of_claims)
    found = shapes_of(study, cells, forecasts, rules, of_claims)
    shown = [MeasuredCell(**cell.info.model_dump(exclude_unset=True), marks=marks(cell, study, data)) for cell in cells]
    rows = [row for cell in cells for row in curves.curve_rows(cell, rules.confidence)]
    of_classes = [row for cell in cells for row in curves.class_rows(cell, data.classes, rules.confidence)]
    summary = summary_of(study, card, data, rows, verdicts, advised, rules)

    artefacts.save_csv(RESULTS / "curves.csv", rows, curves.COLUMNS)
    artefacts.save_csv(RESULTS / "classes.csv", of_classes, curves.CLASS_COLUMNS)
    artefacts.save_csv(RESULTS / "forecast.csv", forecasts, forecast.COLUMNS)
    save_records(RESULTS / "claims.json", verdicts)
    artefacts.save_json(RESULTS / "shapes.json", found)
    save_records(RESULTS / "advice.json", advice)
    save_records(RESULTS / "costs.json", costs_of(advised, advice.ways, *load_timings(grid), advice_rules))
    artefacts.save_json(RESULTS / "hashes.json", hashes_of(grid))
    save_records(RESULTS / "cells.json", shown)
    artefacts.save_json(RESULTS / "metrics.json", summary)


def check_grid(grid: Grid) -> None:
    """Raises InputError naming the cells of the grid that have no predictions."""
    cells = [(learner, n_train) for learner in grid.learners for n_train in grid.sizes]
    missing = [f"{learner}-{n}" for learner, n in cells if not artefacts.cell_path(learner, n).is_dir()]
    if missing:
        names = ", ".join(missing[:5])
        raise InputError(f"{len(missing)} cells of the grid have no predictions ({names}); run `dvc repro`")


def load_groups(card: Dataset) -> Groups:
    """The groups, or blocks of time, of the test rows, numbered from 0; None where rows come alone."""
    if not card.split.is_grouped:
        return None
    return np.unique(artefacts.load_array(FEATURES / "test_groups.npy"), return_inverse=True)[1].astype(np.int64)


def load_cells(grid: Grid, labels: NDArray[np.int64], groups: Groups, kept: Sequence[Metric]) -> list[Cell]:
    """Every cell of the grid, measured; shares of test rows are kept for the named metrics alone."""
    cells = []
    for learner in grid.learners:
        for n_train in grid.sizes:
            folder = artefacts.cell_path(learner, n_train)
            info = load_records(folder / "cell.json", contract.Cell)
            probabilities = artefacts.load_predictions(folder)
            cells.append(curves.measure(probabilities, labels, groups, info, [metric.name for metric in kept]))
    return cells


def load_timings(grid: Grid) -> tuple[dict[CellName, contract.Timing], dict[str, contract.Timing]]:
    """Of every cell, and of every learner's tuning."""
    cells = [(learner, n_train) for learner in grid.learners for n_train in grid.sizes]
    return (
        {cell: load_records(artefacts.timing_path(*cell), contract.Timing) for cell in cells},
        {name: load_records(artefacts.tuning_timing_path(name), contract.Timing) for name in grid.learners},
    )


def study_of(
    cells: Sequence[Cell], metric: Metric, data: Data, rules: Evaluate, tuning: Mapping[CellName, Scores]
) -> Study:
    """All cells by one metric."""
    smallest_gain = rules.smallest_gain
    if smallest_gain is None:
        smallest_gain = rules.smallest_share * metric.left_by_guessing(len(data.classes))
    networks = frozenset(cell.name[0] for cell in cells if cell.info.kind == "network")
    scores = {cell.name: cell.own[metric.name] for cell in cells}
    crossed = curves.crossed_of(cells, metric.name)
    return Study(scores, metric, networks, smallest_gain, data.n_pool, crossed, tuning, rules.n_resamples, rules.seed)


def tuning_of(
    networks: Sequence[str], cells: Sequence[Cell], labels: NDArray[np.int64], groups: Groups, metric: Metric
) -> dict[CellName, Scores]:
    """The largest network with the rows that settings competed on: as each draw's choice has it, and as the setting
    listed first has it; nothing where no size above made it tune once."""
    name = next((n for n in reversed(networks) if any(cell.name[0] == n for cell in cells)), "")
    paths = [artefacts.tuning_path(name, cell.name[1]) for cell in cells if cell.name[0] == name]
    chosen = [load_records(path, contract.Choices) for path in paths if path.is_file()]
    tuned = next((found.choices for found in chosen if found.status == "ok"), None)
    if tuned is None:
        return {}
    competed = artefacts.load_predictions(artefacts.TUNING / name)  # (n_draws, n_settings, n_test, n_classes)
    n_train = cells[0].info.budget.tuning_rows
    taken = {claims.TUNED: competed[np.arange(len(competed)), tuned], claims.LISTED_FIRST: competed[:, 0]}
    n_most = len(cells[0].own[metric.name].values)
    return {(f"{name}{how}", n_train): curves.scores_of(p, labels, groups, metric).padded(n_most)
            for how, p in taken.items()}  # fmt: skip


def advice_of(
    study: Study, measured: list[forecast.Measured], cells: Sequence[Cell], data: Data, of_claims: Claims,
    of_advice: AdviceRules,
) -> Advised:  # fmt: skip
    n_parameters = {c.name: float(np.mean(c.info.n_parameters)) for c in cells if c.info.n_parameters}
    recipe = [name for name in of_claims.networks if name in study.learners]
    return advise(study, measured, recipe, of_claims.simple, n_parameters, data.n_pool, of_advice)


def shapes_of(study: Study, cells: Sequence[Cell], forecasts: list[Json], rules: Evaluate, of_claims: Claims) -> Json:
    """The content of shapes.json."""
    return {
        "last_steps": shapes.last_steps(study, rules.confidence),
        "leads": shapes.leads(study, rules.confidence),
        "overtakes": shapes.overtakes(study, rules.confidence),
        "equal_quality": shapes.equal_quality(study, of_claims.simple, of_claims.networks, rules.confidence),
        "ill_behaved": shapes.ill_behaved(study, rules.claims.alpha),
        "variance": [split for cell in cells if (split := curves.split_rows(cell, study.metric.name))],
        "backtests": forecast.grades(forecasts, study.metric),
        "replicates": shapes.replicates(study),
    }


def summary_of(
    study: Study, card: Dataset, data: Data, rows: list[Json], verdicts: list[Claim], advised: Advised, rules: Evaluate
) -> Json:
    """The content of metrics.json; per learner mean and band at the largest size, None where it has no usable fit."""
    metric, n_last = study.metric, study.sizes[-1]
    last = {row["learner"]: row for row in rows if row["metric"] == metric.name and row["n_train"] == n_last}
    return {
        "dataset": card.name, "split": card.split.how,
        "metric": metric.name, "metric_label": metric.label, "higher_is_better": not metric.is_loss,
        "confidence": rules.confidence, "smallest_gain": study.smallest_gain,
        "chance": {name: known.chance(len(data.classes)) for name, known in METRICS.items()}, "constant": data.constant,
        "learners": {name: {key: last[name][key] for key in ("n_train", "mean", "low", "high")}
                     for name in study.learners},
        "verdicts": {claim.id: claim.verdict for claim in verdicts},
        "advice": advised.report.answer,
    }  # fmt: skip


def hashes_of(grid: Grid) -> Json:
    """SHA-256 of each cell's files, for whoever trains anew without the remote."""
    return {
        learner: {str(n): artefacts.sha256_of(artefacts.cell_path(learner, n)) for n in grid.sizes}
        for learner in grid.learners
    }


if __name__ == "__main__":
    run(main, has_arguments=False)
